package seat

import (
	"bytes"
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

// login is one login as somebody keeps record of it.
type login struct {
	uid     int
	user    string
	display string
	kind    string // x11, wayland, tty, ...
	active  bool
}

// sessions reads the login manager's files of graphical sessions that people have. Login screens are none of them.
func (f Finder) sessions() []login {
	entries, _ := os.ReadDir(f.path("run/systemd/sessions"))
	var all []login
	for _, e := range entries[:min(len(entries), maxSessions)] {
		if !e.Type().IsRegular() { // there are pipes beside them
			continue
		}
		b, err := readSome(f.path("run/systemd/sessions", e.Name()), maxSessionFile)
		if err != nil {
			continue
		}
		if l, ok := parseSession(b); ok && f.lives(b) {
			all = append(all, l)
		}
	}
	return all
}

// lives reports whether the process that leads a session is still there.
func (f Finder) lives(session []byte) bool {
	leader := fields(session)["LEADER"]
	if leader == "" {
		return true
	}
	if _, err := strconv.Atoi(leader); err != nil {
		return false
	}
	_, err := os.Stat(f.path("proc", leader))
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

func parseSession(b []byte) (login, bool) {
	m := fields(b)
	uid, err := strconv.Atoi(m["UID"])
	l := login{uid: uid, user: m["USER"], kind: m["TYPE"], active: m["ACTIVE"] == "1"}
	if err != nil || uid < 0 || m["STATE"] == "closing" || m["CLASS"] != "user" {
		return l, false
	}
	if l.user == "" {
		l.user = "uid " + strconv.Itoa(uid)
	}
	l.display, _ = local(m["DISPLAY"])
	return l, l.kind == "x11" || l.kind == "wayland"
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

func (f Finder) utmp() []login {
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

func parseUtmp(b []byte, lives func(int32) bool) []login {
	var all []login
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
				all = append(all, login{uid: -1, user: text(r.User[:]), display: d, kind: "x11"})
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
