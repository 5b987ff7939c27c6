package seat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// How sure it is that a display is the one somebody sits at, from least to most.
const (
	rankLone    = iota // a server that somebody started beside a login, or only its socket
	rankOwn            // a user's own server
	rankManaged        // the system's server with a user's clients on it
	rankActive         // what the login manager calls active
)

type candidate struct {
	Seat
	rank int
}

func (w *world) choose(want Want) (Seat, error) {
	var all []candidate
	var idle []string
	for _, d := range w.displays() {
		if want.Display != "" && d != want.Display {
			continue
		}
		c, ok := w.judge(d, want)
		switch {
		case !ok && want.Display == "":
			idle = append(idle, d)
			continue
		case want.Display == "" && want.User != "" && c.User != want.User && strconv.Itoa(c.UID) != want.User:
			continue
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return Seat{}, w.none(want, idle)
	}
	best := slices.MaxFunc(all, func(a, b candidate) int { return a.rank - b.rank })
	all = slices.DeleteFunc(all, func(c candidate) bool { return c.rank != best.rank })
	if len(all) > 1 {
		var names []string
		for _, c := range all {
			names = append(names, fmt.Sprintf("%s of %s", c.Display, c.User))
		}
		return Seat{}, fmt.Errorf("%w (%s); give --display or --user", ErrSeveral, strings.Join(names, ", "))
	}
	if best.Server.Name == "Xwayland" || best.rank < rankActive && want.Display == "" && w.wayland(want) {
		return Seat{}, ErrWayland
	}
	return best.Seat, nil
}

// none says why there is no desktop.
func (w *world) none(want Want, idle []string) error {
	switch {
	case want.Display != "":
		return fmt.Errorf("%w: nothing serves display %s", ErrNone, want.Display)
	case w.wayland(want):
		return ErrWayland
	case want.User != "":
		return fmt.Errorf("%w of user %s", ErrNone, want.User)
	case len(idle) > 0:
		return fmt.Errorf("%w: nobody is logged in on %s", ErrNone, strings.Join(idle, " "))
	}
	return fmt.Errorf("%w: no X server is running", ErrNone)
}

// wayland reports whether the active session is one.
func (w *world) wayland(want Want) bool {
	return slices.ContainsFunc(w.sessions, func(l Login) bool {
		return l.Active && l.Type == "wayland" && (want.User == "" || l.User == want.User || strconv.Itoa(l.UID) == want.User)
	})
}

func (w *world) displays() []string {
	names := slices.Clone(w.sockets)
	for _, s := range w.servers {
		names = append(names, s.Display)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// judge says who sits at a display; false where nobody does.
func (w *world) judge(display string, want Want) (candidate, bool) {
	c := candidate{Seat: Seat{Display: display, UID: -1}}
	if i := slices.IndexFunc(w.servers, func(s Server) bool { return s.Display == display }); i >= 0 {
		c.Server = w.servers[i]
	}
	ok := w.seated(&c)
	c.Client = w.client(display, c.UID)
	if want.Display != "" {
		if c.Source == "" {
			c.Source = "given"
		}
		if want.User != "" {
			c.User = want.User
		}
	}
	return c, ok
}

func (w *world) seated(c *candidate) bool {
	users, guests, roots := w.uids(c.Display)
	for _, l := range w.sessions {
		if l.Type != "x11" || l.Display != c.Display && (l.Display != "" || !slices.Contains(users, l.UID)) {
			continue
		}
		c.set(l.UID, l.User, "logind", rankManaged)
		c.Login = &l
		// Where it does not say which display, a server that its user started beside it may not be taken for it.
		if l.Active && (l.Display != "" || c.Server.PID == 0 || c.Server.managed()) {
			c.rank = rankActive
			return true
		}
	}
	if c.Source != "" {
		return true
	}
	known := c.Server.PID != 0
	switch {
	case len(users) > 0:
		c.set(users[0], w.name(users[0]), "processes", rankManaged)
		if known && c.Server.UID == users[0] {
			c.rank = rankOwn
		}
		return true
	case known && ordinary(c.Server.UID):
		c.set(c.Server.UID, w.name(c.Server.UID), "processes", rankOwn)
		return true
	}
	for _, l := range w.utmp {
		if l.Display == c.Display {
			c.set(w.uid(l.User), l.User, "utmp", rankManaged)
			return true
		}
	}
	switch {
	case guests: // the login screen
		return false
	case known && c.Server.UID == 0 && (roots || !c.Server.managed()):
		c.set(0, w.name(0), "processes", rankLone)
		return true
	case known:
		return false
	}
	c.Source, c.rank = "socket", rankLone
	return true
}

func (c *candidate) set(uid int, user, source string, rank int) {
	c.UID, c.User, c.Source, c.rank = uid, user, source, rank
}

// uids returns the people with processes on a display, those with the most first, and whether system accounts and root have any.
func (w *world) uids(display string) (users []int, guests, roots bool) {
	count := make(map[int]int)
	for _, p := range w.clients {
		switch {
		case p.Display != display:
		case p.UID == 0:
			roots = true
		case !ordinary(p.UID):
			guests = true
		default:
			if count[p.UID]++; count[p.UID] == 1 {
				users = append(users, p.UID)
			}
		}
	}
	slices.SortFunc(users, func(a, b int) int {
		if d := count[b] - count[a]; d != 0 {
			return d
		}
		return a - b
	})
	return users, guests, roots
}

func (w *world) client(display string, uid int) *Client {
	for _, p := range w.clients {
		if p.Display == display && p.UID == uid {
			return &p
		}
	}
	return nil
}

func (w *world) name(uid int) string {
	if n := w.names[uid]; n != "" {
		return n
	}
	return "uid " + strconv.Itoa(uid)
}

func (w *world) uid(name string) int {
	for uid, n := range w.names {
		if n == name {
			return uid
		}
	}
	return -1
}

// ordinary reports whether a uid is a person's: not root's, not a system account's, not one that was made for a service.
func ordinary(uid int) bool {
	return uid >= 1000 && uid != 65534 && (uid < 61184 || uid > 65519)
}
