package seat

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/test/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// system is a made-up machine.
type system struct {
	t    *testing.T
	root string
}

func newSystem(t *testing.T) *system {
	s := &system{t, t.TempDir()}
	s.write("etc/passwd", "root:x:0:0::/root:/bin/sh\ngdm:x:42:42::/:/bin/false\nstreamer:x:1001:1001::/home/streamer:/bin/sh\nann:x:1002:1002::/home/ann:/bin/sh\n")
	return s
}

func (s *system) write(path, content string) {
	s.t.Helper()
	path = filepath.Join(s.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) process(pid, uid int, environ string, args ...string) {
	dir := fmt.Sprintf("proc/%d/", pid)
	s.write(dir+"cmdline", strings.Join(args, "\x00")+"\x00")
	s.write(dir+"status", fmt.Sprintf("Name:\tx\nUid:\t%d\t%d\t%d\t%d\nGid:\t%d\t%d\t%d\t%d\nGroups:\t%d 44 \n", uid, uid, uid, uid, uid, uid, uid, uid, uid))
	s.write(dir+"environ", strings.ReplaceAll(environ, " ", "\x00")+"\x00")
}

// hold gives a process a listening socket of a display.
func (s *system) hold(pid int, inode, display string) {
	s.t.Helper()
	table := filepath.Join(s.root, "proc/net/unix")
	old, _ := os.ReadFile(table)
	s.write("proc/net/unix", string(old)+"0000000000000000: 00000002 00000000 00010000 0001 01 "+inode+" @/tmp/.X11-unix/X"+strings.TrimPrefix(display, ":")+"\n")
	fds := filepath.Join(s.root, fmt.Sprintf("proc/%d/fd", pid))
	if err := os.MkdirAll(fds, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink("socket:["+inode+"]", filepath.Join(fds, inode)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) session(id string, lines ...string) {
	s.write("run/systemd/sessions/"+id, "# private\n"+strings.Join(lines, "\n")+"\n")
}

func (s *system) find(want Want) (Seat, error) { return Finder{Root: s.root}.Find(s.t.Context(), want) }

func (s *system) expect(want Want, display, user, source string) Seat {
	s.t.Helper()
	got, err := s.find(want)
	if err != nil || got.Display != display || got.User != user || got.Source != source {
		s.t.Errorf("found %+v, %v; want %s of %s by %s", got, err, display, user, source)
	}
	return got
}

func (s *system) refuse(want Want, target error) {
	s.t.Helper()
	got, err := s.find(want)
	if !errors.Is(err, target) || strings.Contains(err.Error(), "\n") {
		s.t.Errorf("found %+v, %v; want %v", got, err, target)
	}
}

func TestUserLogsInThroughADisplayManager(t *testing.T) {
	s := newSystem(t)
	s.refuse(Want{}, ErrNone)
	s.process(10, 0, "PATH=/bin", "/usr/bin/Xorg", ":0", "-auth", "/run/auth", "vt2")
	s.refuse(Want{}, ErrNone)
	s.process(11, 42, "DISPLAY=:0", "gnome-shell")
	s.refuse(Want{}, ErrNone)
	s.process(12, 1001, "HOME=/home/streamer DISPLAY=:0.0 XAUTHORITY=/home/streamer/x", "gnome-session")
	got := s.expect(Want{}, ":0", "streamer", "processes")
	if got.Server.PID != 10 || got.Server.Authority != "/run/auth" || got.UID != 1001 || got.Client == nil || got.Client.PID != 12 ||
		got.Client.Authority != "/home/streamer/x" || got.Client.Home != "/home/streamer" || fmt.Sprint(got.Client.Groups) != "[1001 44]" {
		t.Errorf("seat %+v, client %+v", got, got.Client)
	}
	s.expect(Want{User: "streamer"}, ":0", "streamer", "processes")
	s.expect(Want{User: "1001"}, ":0", "streamer", "processes")
	s.refuse(Want{User: "ann"}, ErrNone)
	s.refuse(Want{Display: ":1"}, ErrNone)
	s.expect(Want{Display: "unix:0.0", User: "alias"}, ":0", "alias", "processes")
}

func TestLoginManagerSaysWhichIsActive(t *testing.T) {
	s := newSystem(t)
	for i, user := range []int{1001, 1002} {
		display := fmt.Sprint(":", i)
		s.process(10+i, 0, "", "Xorg", display)
		s.process(20+i, user, "DISPLAY="+display, "xterm")
	}
	s.refuse(Want{}, ErrSeveral)
	s.expect(Want{User: "ann"}, ":1", "ann", "processes")
	s.session("1", "UID=1001", "USER=streamer", "ACTIVE=0", "STATE=online", "TYPE=x11", "CLASS=user", "DISPLAY=:0")
	s.session("2", "UID=1002", "USER=ann", "ACTIVE=1", "STATE=active", "TYPE=x11", "CLASS=user", "LEADER=21")
	s.session("3", "UID=42", "USER=gdm", "ACTIVE=1", "STATE=active", "TYPE=wayland", "CLASS=greeter")
	s.session("4", "UID=1001", "ACTIVE=1", "STATE=active", "TYPE=x11", "CLASS=user", "DISPLAY=:0", "LEADER=4711")
	s.session("5", "nonsense")
	if err := syscall.Mkfifo(filepath.Join(s.root, "run/systemd/sessions/1.ref"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect(Want{}, ":1", "ann", "logind")
	s.expect(Want{Display: ":0"}, ":0", "streamer", "logind")
}

// A user may start servers beside the one that is shown, or programs that call themselves one.
func TestUsersOwnServerDoesNotDivert(t *testing.T) {
	s := newSystem(t)
	s.process(10, 0, "", "Xorg", ":0")
	s.hold(10, "77", ":0")
	s.process(11, 1001, "DISPLAY=:0", "xterm")
	s.process(5, 1001, "DISPLAY=:0", "Xvfb", ":0", "-auth", "/home/streamer/own")
	s.hold(5, "78", ":9")
	s.process(6, 1001, "", "Xvfb", ":3")
	s.process(7, 1001, "DISPLAY=:3", "xterm")
	s.process(8, 1001, "DISPLAY=:3", "xterm")
	if got := s.expect(Want{}, ":0", "streamer", "processes"); got.Server.PID != 10 {
		t.Errorf("server %+v", got.Server)
	}
}

func TestWaylandIsRefused(t *testing.T) {
	s := newSystem(t)
	s.process(10, 1001, "", "Xwayland", ":0")
	s.process(11, 1001, "DISPLAY=:0", "gnome-shell")
	s.refuse(Want{}, ErrWayland)
	s.refuse(Want{Display: ":0"}, ErrWayland)
	s = newSystem(t)
	s.session("1", "UID=1001", "USER=streamer", "ACTIVE=1", "STATE=active", "TYPE=wayland", "CLASS=user")
	s.refuse(Want{}, ErrWayland)
	s.refuse(Want{User: "ann"}, ErrNone)
	s.process(12, 1001, "", "Xvfb", ":5")
	s.refuse(Want{}, ErrWayland)
	s.expect(Want{Display: ":5"}, ":5", "streamer", "processes")
}

func TestServerWithoutClients(t *testing.T) {
	s := newSystem(t)
	s.process(10, 0, "", "Xvnc", ":4")
	s.expect(Want{}, ":4", "root", "processes")
	s.process(11, 5001, "", "Xvnc", ":5")
	s.expect(Want{}, ":5", "uid 5001", "processes")
}

func TestUtmpIsTheLastResort(t *testing.T) {
	s := newSystem(t)
	s.process(10, 0, "", "Xorg", ":0")
	var b bytes.Buffer
	for i, pid := range []int32{4711, 10} {
		r := utmpRecord{Type: userProcess, PID: pid}
		copy(r.Line[:], ":0")
		copy(r.User[:], []string{"gone", "ann"}[i])
		if err := binary.Write(&b, binary.NativeEndian, r); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() != 2*384 {
		t.Fatalf("a record has %d bytes", b.Len()/2)
	}
	s.write("run/utmp", b.String()+"torn")
	if got := s.expect(Want{}, ":0", "ann", "utmp"); got.UID != 1002 {
		t.Errorf("uid %d", got.UID)
	}
}

func TestAwaitSeesTheLogin(t *testing.T) {
	s := newSystem(t)
	s.process(10, 0, "", "Xorg", ":0")
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if _, err := (Finder{Root: s.root}).Await(ctx, Want{}); !errors.Is(err, ErrNone) {
		t.Errorf("nobody is there: %v", err)
	}
	found := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := Finder{Root: s.root}.Await(ctx, Want{})
		found <- err
	}()
	s.process(11, 1001, "DISPLAY=:0", "xterm")
	if err := <-found; err != nil {
		t.Error(err)
	}
}

func TestRealServer(t *testing.T) {
	x := desktop.StartConfig(t, desktop.Config{Width: 320, Height: 240, Locked: true})
	got, err := Finder{}.Find(t.Context(), Want{Display: x.Display()})
	if err != nil || got.Server.PID != x.Pid() || got.Server.Authority != x.Authority() || got.UID != os.Getuid() {
		t.Errorf("found %+v, %v", got, err)
	}
	if _, err := (Finder{}).Find(t.Context(), Want{Display: ":9973"}); !errors.Is(err, ErrNone) {
		t.Errorf("a display that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("UID=1\nUSER=a\nTYPE=x11\nCLASS=user\nDISPLAY=:0"))
	f.Add(make([]byte, 800))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseSession(b)
		parseUtmp(b, func(int32) bool { return true })
		local(string(b))
	})
}
