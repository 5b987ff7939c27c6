package seat

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// startBus runs a real bus on a socket of its own and returns its address.
func startBus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	content := `<busconfig><type>custom</type><listen>unix:dir=` + dir + `</listen><auth>EXTERNAL</auth><policy context="default">` +
		`<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--nopidfile", "--print-address=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// loginManager has the name and the objects of logind on a bus, as far as a seat is found by them.
type loginManager struct {
	t    *testing.T
	conn *dbus.Conn
	list []listedSession
}

type listedSession struct {
	ID   string
	UID  uint32
	User string
	Seat string
	Path dbus.ObjectPath
}

func startLoginManager(t *testing.T, address string) *loginManager {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m := &loginManager{t: t, conn: conn}
	err = conn.ExportMethodTable(map[string]any{"ListSessions": func() ([]listedSession, *dbus.Error) { return m.list, nil }},
		logindPath, "org.freedesktop.login1.Manager")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := conn.RequestName(logindName, dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(r, err)
	}
	return m
}

// open adds a session. Of one without properties only the list tells, as of one that ends at this moment.
func (m *loginManager) open(id string, uid uint32, user, seat string, properties map[string]any) {
	m.t.Helper()
	path := logindPath + dbus.ObjectPath("/session/_3"+id)
	m.list = append(m.list, listedSession{id, uid, user, seat, path})
	if properties == nil {
		return
	}
	all := make(map[string]*prop.Prop)
	for k, v := range properties {
		all[k] = &prop.Prop{Value: v}
	}
	if _, err := prop.Export(m.conn, path, prop.Map{logindSession: all}); err != nil {
		m.t.Fatal(err)
	}
}

func graphical(kind, class, state, display string, leader uint32, active bool) map[string]any {
	return map[string]any{"Type": kind, "Class": class, "State": state, "Display": display, "Leader": leader, "Active": active}
}

func TestLogindTellsWhoseDesktopItIs(t *testing.T) {
	s := newSystem(t)
	for i, user := range []int{1001, 1002} {
		display := fmt.Sprint(":", i)
		s.process(10+i, 0, "", "Xorg", display)
		s.process(20+i, user, "DISPLAY="+display, "xterm")
	}
	// The files say another than the bus, which counts.
	s.session("1", "UID=1001", "USER=streamer", "ACTIVE=1", "STATE=active", "TYPE=x11", "CLASS=user", "DISPLAY=:0")
	f := Finder{Root: s.root, Bus: startBus(t)}
	if got, err := f.Find(t.Context(), Want{}); err != nil || got.Display != ":0" || got.Login == nil || got.Login.ID != "1" {
		t.Errorf("without logind on the bus: %+v, %v", got, err)
	}
	m := startLoginManager(t, f.Bus)
	m.open("1", 1001, "streamer", "seat0", graphical("x11", "user", "online", ":0", 20, false))
	m.open("2", 1002, "ann@example.org", "seat0", graphical("x11", "user", "active", ":1", 21, true))
	m.open("3", 42, "gdm", "seat0", graphical("wayland", "greeter", "active", "", 30, true))
	m.open("4", 1001, "streamer", "", graphical("tty", "user", "active", "", 31, true))
	m.open("5", 1001, "streamer", "seat0", graphical("x11", "user", "closing", ":0", 32, true))
	m.open("6", 1001, "streamer", "", nil)
	m.open("7", 1001, "streamer", "", map[string]any{"Type": uint32(7), "Active": "yes"})
	got, err := f.Find(t.Context(), Want{})
	want := Login{ID: "2", UID: 1002, User: "ann@example.org", Display: ":1", Type: "x11", Seat: "seat0", Leader: 21, Active: true}
	if err != nil || got.Display != ":1" || got.User != "ann@example.org" || got.Source != "logind" || got.Login == nil || *got.Login != want {
		t.Errorf("found %+v (%+v), %v", got, got.Login, err)
	}
	if got, err := f.Find(t.Context(), Want{User: "streamer"}); err != nil || got.Display != ":0" || got.Login.ID != "1" {
		t.Errorf("found %+v, %v", got, err)
	}
	m.list = nil
	m.open("8", 1002, "ann", "seat0", graphical("wayland", "user", "active", "", 21, true))
	if got, err := f.Find(t.Context(), Want{User: "ann"}); !errors.Is(err, ErrWayland) && err == nil {
		t.Errorf("found %+v, %v", got, err)
	}
}

// A bus that takes the connection and says nothing costs its time and no more.
func TestBusThatHangs(t *testing.T) {
	s := newSystem(t)
	s.process(10, 0, "", "Xorg", ":0")
	s.session("1", "UID=1001", "USER=streamer", "ACTIVE=1", "STATE=active", "TYPE=x11", "CLASS=user", "DISPLAY=:0", "SEAT=seat0", "LEADER=10")
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got, err := Finder{Root: s.root, Bus: "unix:path=" + path}.Find(t.Context(), Want{})
	if err != nil || got.User != "streamer" || got.Login.Leader != 10 || got.Login.Seat != "seat0" {
		t.Errorf("found %+v, %v", got, err)
	}
}

// The choice among what was seen, whoever told of it.
func TestChoice(t *testing.T) {
	managed := func(pid int, display string) Server { return Server{PID: pid, Name: "Xorg", Display: display} }
	own := func(pid, uid int, display string) Server {
		return Server{PID: pid, UID: uid, Name: "Xvnc", Display: display}
	}
	on := func(uid int, display string) Client { return Client{PID: 100 + uid, UID: uid, Display: display} }
	x11 := func(uid int, display string, active bool) Login {
		return Login{UID: uid, User: fmt.Sprint("u", uid), Display: display, Type: "x11", Active: active}
	}
	for name, c := range map[string]struct {
		world   world
		want    Want
		display string
		err     error
	}{
		"active before inactive": {world{servers: []Server{managed(1, ":0"), managed(2, ":1")},
			sessions: []Login{x11(1001, ":0", false), x11(1002, ":1", true)}}, Want{}, ":1", nil},
		"active without display, beside an own server": {world{servers: []Server{managed(1, ":0"), own(2, 1001, ":1")},
			clients: []Client{on(1001, ":0"), on(1001, ":1"), on(1001, ":1")}, sessions: []Login{x11(1001, "", true)}}, Want{}, ":0", nil},
		"active without display, on an own server only": {world{servers: []Server{own(2, 1001, ":1")},
			clients: []Client{on(1001, ":1")}, sessions: []Login{x11(1001, "", true)}}, Want{}, ":1", nil},
		"two active": {world{servers: []Server{managed(1, ":0"), managed(2, ":1")},
			sessions: []Login{x11(1001, ":0", true), x11(1002, ":1", true)}}, Want{}, "", ErrSeveral},
		"two active, one wanted": {world{servers: []Server{managed(1, ":0"), managed(2, ":1")},
			sessions: []Login{x11(1001, ":0", true), x11(1002, ":1", true)}}, Want{User: "1002"}, ":1", nil},
		"a session whose server is gone": {world{servers: []Server{managed(1, ":0")}, clients: []Client{on(1001, ":0")},
			sessions: []Login{x11(1002, ":1", true)}}, Want{}, ":0", nil},
		"wayland active": {world{servers: []Server{own(2, 1001, ":1")}, sessions: []Login{{UID: 1001, Type: "wayland", Active: true}}},
			Want{}, "", ErrWayland},
		"nobody": {world{servers: []Server{managed(1, ":0")}}, Want{}, "", ErrNone},
	} {
		got, err := c.world.choose(c.want)
		if got.Display != c.display || !errors.Is(err, c.err) {
			t.Errorf("%s: found %q, %v; want %q, %v", name, got.Display, err, c.display, c.err)
		}
	}
}
