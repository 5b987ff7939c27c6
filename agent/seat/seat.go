// Package seat finds the desktop that is to be recorded: which X display, whose, and by which server.
//
// In come what the system says of itself: the login manager's session files, the running processes, the sockets of X servers, the
// record of logins. Out comes one seat, or why there is none. What always holds: nothing is hard-coded and nothing is read from
// this process's environment; a process counts as the server of a display only where it holds the display's socket, so that
// nobody can put a server of their own in front of the one that is shown; what users can write is data, bounded, and never run.
package seat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrNone says that nobody sits at a desktop, or not yet.
	ErrNone = errors.New("no desktop to record")
	// ErrSeveral says that there are several desktops and nothing tells which is meant.
	ErrSeveral = errors.New("several desktops")
	// ErrWayland says that the desktop is drawn by Wayland, which shows X clients only a part of it.
	ErrWayland = errors.New("the desktop is a Wayland session, which cannot be recorded; have the display manager start X11 sessions")
)

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

// Want narrows the search; empty fields leave it open.
type Want struct {
	// Display such as ":0".
	Display string
	// User is a login name or a uid. Beside a display it only names the desktop's user.
	User string
}

// Seat is a desktop and who sits at it.
type Seat struct {
	Display string
	// User is the login name, or "uid N" where the machine knows none; empty where the user is not known.
	User string
	// UID is -1 where the user is not known.
	UID int
	// Server is the X server; its PID is 0 where it was not found.
	Server Server
	// Client is one of the user's processes on the display, nil where none was found.
	Client *Client
	// Source is what told of it: "logind", "processes", "utmp", "socket" or "given".
	Source string
}

// Finder looks at a system.
type Finder struct {
	// Root is the folder below which the system lies: "/", but for tests.
	Root string
}

func (f Finder) path(elem ...string) string {
	root := f.Root
	if root == "" {
		root = "/"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// Await looks until it finds a seat or ctx is done; the pauses grow up to two seconds. ErrSeveral and ErrWayland are final.
func (f Finder) Await(ctx context.Context, want Want) (Seat, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		s, err := f.Find(want)
		if err == nil || !errors.Is(err, ErrNone) {
			return s, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return s, err
		case <-timer.C:
		}
	}
}

// Find looks once.
func (f Finder) Find(want Want) (Seat, error) {
	if want.Display != "" {
		d, ok := local(want.Display)
		if !ok {
			return Seat{}, fmt.Errorf("display %q is not of the form :1", want.Display)
		}
		want.Display = d
	}
	w, err := f.look()
	if err != nil {
		return Seat{}, err
	}
	return w.choose(want)
}

// local returns a local display's name without its screen: ":0" for "unix:0.0".
func local(name string) (string, bool) {
	digits, ok := strings.CutPrefix(strings.TrimPrefix(name, "unix"), ":")
	digits, _, _ = strings.Cut(digits, ".")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil {
		return "", false
	}
	return ":" + strconv.FormatUint(n, 10), true
}

// world is what was seen of the system in one look.
type world struct {
	servers  []Server
	sockets  []string // displays with a socket that is not known to be dead
	clients  []Client
	sessions []login
	utmp     []login
	names    map[int]string
}

func (f Finder) look() (*world, error) {
	w := &world{names: f.users(), sessions: f.sessions(), utmp: f.utmp()}
	listening := f.listening()
	var err error
	if w.servers, w.clients, err = f.processes(listening); err != nil {
		return nil, err
	}
	entries, _ := os.ReadDir(f.path("tmp/.X11-unix")) // no folder, no socket
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "X")
		d, valid := local(":" + digits)
		if ok && valid && e.Type() == os.ModeSocket && (len(listening[d]) > 0 || alive(f.path("tmp/.X11-unix", e.Name()))) {
			w.sockets = append(w.sockets, d)
		}
	}
	return w, nil
}

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
	return slices.ContainsFunc(w.sessions, func(l login) bool {
		return l.active && l.kind == "wayland" && (want.User == "" || l.user == want.User || strconv.Itoa(l.uid) == want.User)
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
		if l.kind != "x11" || l.display != c.Display && (l.display != "" || !slices.Contains(users, l.uid)) {
			continue
		}
		c.set(l.uid, l.user, "logind", rankManaged)
		if l.active {
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
		if l.display == c.Display {
			c.set(w.uid(l.user), l.user, "utmp", rankManaged)
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
