package x11

import (
	"bytes"
	"image"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// entry lays out one entry of an authority file.
func entry(address, display, protocol, cookie string) []byte {
	file := []byte{1, 0}
	for _, field := range []string{address, display, protocol, cookie} {
		file = append(file, byte(len(field)>>8), byte(len(field)))
		file = append(file, field...)
	}
	return file
}

func TestParseCookies(t *testing.T) {
	const one, two = "0123456789abcdef", "fedcba9876543210"
	file := bytes.Join([][]byte{
		entry("old-name", "1", cookieProtocol, one),
		entry("host", "2", cookieProtocol, two),
		entry("host", "", cookieProtocol, two),
		entry("host", "1", "XDM-AUTHORIZATION-1", two),
		entry("host", "1", cookieProtocol, "short"),
	}, nil)
	got := parseCookies(file, "1")
	if len(got) != 2 || string(got[0]) != one || string(got[1]) != two {
		t.Errorf("cookies are %q", got)
	}
	if got := parseCookies(file[:len(file)-1], "2"); len(got) != 2 {
		t.Errorf("cookies of a cut file are %q", got)
	}
	if got := parseCookies(bytes.Repeat(file, 100), "1"); len(got) != maxCookies {
		t.Errorf("%d cookies", len(got))
	}
}

func FuzzParseCookies(f *testing.F) {
	f.Add(entry("host", "1", cookieProtocol, "0123456789abcdef"))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, cookie := range parseCookies(file, "1") {
			if len(cookie) != cookieSize {
				t.Errorf("cookie of %d bytes", len(cookie))
			}
		}
	})
}

func TestParseMonitorsReadsNegativePlaces(t *testing.T) {
	reply := make([]byte, packetSize)
	wire.PutUint32(reply[12:], 1)
	reply = append(reply, words(77, 1|1<<16)...) // primary, one output
	reply = wire.AppendUint16(reply, 0xffff)     // -1
	reply = wire.AppendUint16(reply, 0xfffe)     // -2
	reply = wire.AppendUint16(reply, 1365)
	reply = wire.AppendUint16(reply, 767)
	reply = append(reply, words(0, 0, 5)...)
	monitors, names, err := parseMonitors(reply)
	want := Monitor{X: -1, Y: -2, Width: 1365, Height: 767, Primary: true}
	if err != nil || len(monitors) != 1 || monitors[0] != want || names[0] != 77 {
		t.Errorf("monitors are %+v, %v, %v", monitors, names, err)
	}
	for cut := packetSize; cut < len(reply); cut++ {
		if monitors, _, err := parseMonitors(reply[:cut]); err == nil {
			t.Errorf("%d of %d bytes read as %+v", cut, len(reply), monitors)
		}
	}
}

// FuzzServer lets any bytes be what a server says: the agent may give up, and
// must neither panic nor hang.
func FuzzServer(f *testing.F) {
	setup := make([]byte, 80)
	setup[0], setup[2], setup[6], setup[28] = setupSuccess, 11, 18, 1
	setup[40] = 99
	extension := make([]byte, packetSize)
	extension[0], extension[2], extension[8], extension[9] = packetReply, 1, 1, 140
	version := make([]byte, packetSize)
	version[0], version[2], version[8], version[12] = packetReply, 2, 1, 6
	geometry := make([]byte, packetSize)
	geometry[0], geometry[2], geometry[17], geometry[19] = packetReply, 3, 5, 2
	monitors := make([]byte, packetSize+24)
	monitors[0], monitors[2], monitors[4], monitors[12] = packetReply, 4, 6, 1
	name := append(make([]byte, packetSize), "VNC-"...)
	name[0], name[2], name[4], name[8] = packetReply, 5, 1, 4
	f.Add(bytes.Join([][]byte{setup, extension, version, geometry, monitors, name}, nil))
	f.Add([]byte("\x00\x04\x0b\x00\x00\x00\x01\x00nope"))
	f.Fuzz(func(t *testing.T, says []byte) {
		c := &client{conn: &script{says: bytes.NewReader(says)}, names: map[uint32]string{}}
		if c.greet(nil) != nil || c.findRandR() != nil {
			return
		}
		g, err := c.geometry()
		grabber := Grabber{client: c, timeout: time.Second}
		if grabber.prepare() == nil {
			grabber.damage.able = true
			for range 3 {
				if _, err := grabber.Grab(5, 2); err != nil {
					break
				}
			}
		}
		if err == nil && (g.Width > 0xffff || len(g.Monitors) > len(says)) {
			t.Errorf("geometry is %+v", g)
		}
	})
}

func TestScriptedServerIsUnderstood(t *testing.T) {
	// The seed of FuzzServer must go all the way, or the fuzzing ends early.
	setup := make([]byte, 80)
	setup[0], setup[6], setup[28], setup[40] = setupSuccess, 18, 1, 99
	none := make([]byte, packetSize)
	none[0], none[2] = packetReply, 1
	event := make([]byte, packetSize)
	event[0] = 22
	old := make([]byte, packetSize)
	old[0], old[2], old[16] = packetReply, 1, 7
	size := make([]byte, packetSize)
	size[0], size[2], size[17], size[19] = packetReply, 2, 5, 2
	c := &client{conn: &script{says: bytes.NewReader(bytes.Join([][]byte{setup, none, event, old, size}, nil))}, names: map[uint32]string{}}
	if err := c.greet(nil); err != nil || c.root != 99 {
		t.Fatalf("root is %d, %v", c.root, err)
	}
	if err := c.findRandR(); err != nil || c.randr != 0 {
		t.Fatalf("RandR is %d, %v", c.randr, err)
	}
	g, err := c.geometry()
	want := Geometry{Width: 1280, Height: 512, Monitors: []Monitor{{Width: 1280, Height: 512, Primary: true}}}
	if err != nil || !g.Equal(want) || !c.changed {
		t.Errorf("geometry is %+v, changed %v, %v", g, c.changed, err)
	}
}

func TestSocketsListsSocketsOnly(t *testing.T) {
	dir := t.TempDir()
	if names, err := sockets(filepath.Join(dir, "none")); err != nil || len(names) != 0 {
		t.Errorf("without a directory: %v, %v", names, err)
	}
	for _, name := range []string{"X10", "X2", "X0", "X01", "Y3", "4", "X", "X-5"} {
		listener, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "X7"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := sockets(dir)
	if want := []string{":0", ":2", ":10"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("sockets are %v, %v, want %v", names, err, want)
	}
}

// script is a connection to a server that talks without listening.
type script struct {
	net.Conn
	says *bytes.Reader
}

func (s *script) Read(p []byte) (int, error)       { return s.says.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func TestPointerIsDrawnOverThePicture(t *testing.T) {
	reply := make([]byte, packetSize, packetSize+16)
	for i, v := range []uint16{2, 2, 2, 2, 1, 1} { // x, y, width, height, hot spot
		wire.PutUint16(reply[8+2*i:], v)
	}
	reply = append(reply, words(0xff010203, 0x80404040, 0, 0xff0000ff)...)
	p, err := parsePointer(reply)
	if err != nil || p.place != image.Rect(1, 1, 3, 3) {
		t.Fatalf("at %v, %v", p.place, err)
	}
	pix := bytes.Repeat([]byte{100, 100, 100, 0}, 9)
	p.draw(pix, image.Rect(0, 0, 3, 3))
	for at, want := range map[[2]int][]byte{{0, 0}: {100, 100, 100}, {1, 1}: {3, 2, 1}, {2, 1}: {114, 114, 114}, {1, 2}: {100, 100, 100}, {2, 2}: {255, 0, 0}} {
		if got := pix[4*(at[1]*3+at[0]):][:3]; !bytes.Equal(got, want) {
			t.Errorf("pixel %v is %v, not %v", at, got, want)
		}
	}
	p.place = p.place.Add(image.Pt(-2, 1)) // partly outside
	p.draw(pix, image.Rect(0, 0, 3, 3))
	if _, err := parsePointer(reply[:len(reply)-1]); err == nil {
		t.Error("a cut pointer was taken")
	}
}
