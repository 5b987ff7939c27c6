package seat

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
)

const (
	maxSessionFile = 64 << 10
	maxSessions    = 1024
	maxUsersFile   = 4 << 20
	maxUtmp        = 4 << 20
)

// Login is one login as somebody keeps record of it.
type Login struct {
	// ID is the login manager's; empty where another told of it.
	ID   string
	UID  int
	User string
	// Display is empty where the login manager knows of none.
	Display string
	// Type is "x11" or "wayland".
	Type string
	// Seat such as "seat0"; empty for a login from elsewhere.
	Seat string
	// Leader is the process that the login began with, 0 where it is not known.
	Leader int
	// Active says that it is the one that its seat shows.
	Active bool
}

// session is what the login manager says of one.
type session struct {
	id, uid, user, seat, kind, class, state, display, leader string
	active                                                   bool
}

// login returns it as a graphical session that a person has; false where it is none. Login screens are none.
func (s session) login() (Login, bool) {
	uid, err := strconv.Atoi(s.uid)
	l := Login{ID: s.id, UID: uid, User: strings.ToValidUTF8(s.user, "?"), Type: s.kind, Seat: s.seat, Active: s.active}
	if err != nil || uid < 0 || s.state == "closing" || s.class != "user" {
		return l, false
	}
	if s.leader != "" {
		if l.Leader, err = strconv.Atoi(s.leader); err != nil || l.Leader < 0 {
			return l, false
		}
	}
	if l.User == "" {
		l.User = "uid " + s.uid
	}
	l.Display, _ = local(s.display)
	return l, l.Type == "x11" || l.Type == "wayland"
}

// sessions asks the login manager or, where it does not answer, reads its files.
func (f Finder) sessions(ctx context.Context) []Login {
	all, err := f.ask(ctx)
	if err != nil {
		all = f.filed()
	}
	return all
}

// filed reads the login manager's files, whose form it does not promise.
func (f Finder) filed() []Login {
	entries, _ := os.ReadDir(f.path("run/systemd/sessions"))
	var all []Login
	for _, e := range entries[:min(len(entries), maxSessions)] {
		if !e.Type().IsRegular() { // there are pipes beside them
			continue
		}
		b, err := readSome(f.path("run/systemd/sessions", e.Name()), maxSessionFile)
		if err != nil {
			continue
		}
		if l, ok := parseSession(b); ok && f.lives(l) {
			l.ID = e.Name()
			all = append(all, l)
		}
	}
	return all
}

// lives reports whether the process that leads a session is still there.
func (f Finder) lives(l Login) bool {
	if l.Leader == 0 {
		return true
	}
	_, err := os.Stat(f.path("proc", strconv.Itoa(l.Leader)))
	return err == nil
}

func fields(b []byte) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[k] = strings.Trim(v, `"`)
		}
	}
	return m
}

func parseSession(b []byte) (Login, bool) {
	m := fields(b)
	return session{
		uid: m["UID"], user: m["USER"], seat: m["SEAT"], kind: m["TYPE"], class: m["CLASS"], state: m["STATE"], display: m["DISPLAY"],
		leader: m["LEADER"], active: m["ACTIVE"] == "1",
	}.login()
}

// utmpRecord is one entry of the record of logins on 64-bit Linux.
type utmpRecord struct {
	Type int16
	_    [2]byte
	PID  int32
	Line [32]byte
	ID   [4]byte
	User [32]byte
	Host [256]byte
	_    [52]byte
}

const userProcess = 7

func (f Finder) utmp() []Login {
	b, err := readSome(f.path("run/utmp"), maxUtmp)
	if err != nil {
		b, err = readSome(f.path("var/run/utmp"), maxUtmp)
	}
	if err != nil {
		return nil
	}
	return parseUtmp(b, func(pid int32) bool {
		_, err := os.Stat(f.path("proc", strconv.Itoa(int(pid))))
		return err == nil
	})
}

func parseUtmp(b []byte, lives func(int32) bool) []Login {
	var all []Login
	size := binary.Size(utmpRecord{})
	for ; len(b) >= size; b = b[size:] {
		var r utmpRecord
		if _, err := binary.Decode(b, binary.NativeEndian, &r); err != nil {
			return all
		}
		if r.Type != userProcess || !lives(r.PID) {
			continue
		}
		for _, where := range [][]byte{r.Line[:], r.Host[:]} {
			if d, ok := local(text(where)); ok && text(r.User[:]) != "" {
				all = append(all, Login{UID: -1, User: text(r.User[:]), Display: d, Type: "x11"})
				break
			}
		}
	}
	return all
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(b), "?")
}

// users returns the login names of the machine's own users. Those of a directory are known only by a session file.
func (f Finder) users() map[int]string {
	names := make(map[int]string)
	b, err := readSome(f.path("etc/passwd"), maxUsersFile)
	if err != nil {
		return names
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.Split(line, ":")
		if len(parts) < 3 {
			continue
		}
		if uid, err := strconv.Atoi(parts[2]); err == nil && names[uid] == "" {
			names[uid] = parts[0]
		}
	}
	return names
}
