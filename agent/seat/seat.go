// Package seat finds the desktop that is to be recorded: which X display, whose, and by which server.
//
// In come what the system says of itself: what the login manager answers, or else its files, the running processes, the sockets
// of X servers, the record of logins. Out comes one seat, or why there is none. What always holds: nothing is hard-coded and
// nothing is read from this process's environment; a process counts as the server of a display only where it holds the display's
// socket, so that nobody can put a server of their own in front of the one that is shown; what users can write is data, bounded,
// and never run.
package seat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// Login is what the login manager says of it, nil where that did not tell.
	Login *Login
	// Source is what told of it: "logind", "processes", "utmp", "socket" or "given".
	Source string
}

// Finder looks at a system.
type Finder struct {
	// Root is the folder below which the system lies: "/", but for tests.
	Root string
	// Bus is the address of the system's bus; empty for the one that a system has.
	Bus string
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
		s, err := f.Find(ctx, want)
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
func (f Finder) Find(ctx context.Context, want Want) (Seat, error) {
	if want.Display != "" {
		d, ok := local(want.Display)
		if !ok {
			return Seat{}, fmt.Errorf("display %q is not of the form :1", want.Display)
		}
		want.Display = d
	}
	w, err := f.look(ctx)
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
	sessions []Login
	utmp     []Login
	names    map[int]string
}

func (f Finder) look(ctx context.Context) (*world, error) {
	w := &world{names: f.users(), sessions: f.sessions(ctx), utmp: f.utmp()}
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
