package x11

import (
	"bytes"
	"image"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/render"
	"github.com/jezek/xgb/xproto"
	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/test/desktop"
)

const testWidth, testHeight = 801, 603

// vandal draws all over a screen: in the root window, in windows within windows, through pixmaps, and with the pointer.
type vandal struct {
	t       *testing.T
	conn    *xgb.Conn
	root    xproto.Window
	gc      xproto.Gcontext
	windows []xproto.Window
	rng     *rand.Rand
}

func startVandal(t *testing.T, s *desktop.Server, seed uint64) *vandal {
	t.Helper()
	socket, err := net.Dial("unix", "/tmp/.X11-unix/X"+strings.TrimPrefix(s.Display(), ":"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := xgb.NewConnNet(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); conn.WaitForEvent() })
	screen := xproto.Setup(conn).DefaultScreen(conn)
	v := &vandal{t: t, conn: conn, root: screen.Root, rng: rand.New(rand.NewPCG(seed, 1))}
	if v.gc, err = xproto.NewGcontextId(conn); err != nil {
		t.Fatal(err)
	}
	xproto.CreateGC(conn, v.gc, xproto.Drawable(v.root), xproto.GcSubwindowMode, []uint32{xproto.SubwindowModeIncludeInferiors})
	parent := v.root
	for range 3 {
		w, err := xproto.NewWindowId(conn)
		if err != nil {
			t.Fatal(err)
		}
		xproto.CreateWindow(conn, screen.RootDepth, w, parent, 20, 30, 400, 300, 0, xproto.WindowClassInputOutput, screen.RootVisual,
			xproto.CwBackPixel|xproto.CwOverrideRedirect, []uint32{v.rng.Uint32() & 0xffffff, 1})
		xproto.MapWindow(conn, w)
		v.windows = append(v.windows, w)
		parent = w
	}
	v.glassPointer()
	v.sync()
	return v
}

// glassPointer gives the screen a pointer that one can see through: drawn twice it would be another.
func (v *vandal) glassPointer() {
	v.t.Helper()
	if err := render.Init(v.conn); err != nil {
		v.t.Fatal(err)
	}
	formats, err := render.QueryPictFormats(v.conn).Reply()
	if err != nil {
		v.t.Fatal(err)
	}
	i := slices.IndexFunc(formats.Formats, func(f render.Pictforminfo) bool { return f.Depth == 32 && f.Direct.AlphaMask == 0xff })
	pixmap, err := xproto.NewPixmapId(v.conn)
	if err != nil || i < 0 {
		v.t.Fatal(i, err)
	}
	picture, err := render.NewPictureId(v.conn)
	if err != nil {
		v.t.Fatal(err)
	}
	cursor, err := xproto.NewCursorId(v.conn)
	if err != nil {
		v.t.Fatal(err)
	}
	const side = 30
	xproto.CreatePixmap(v.conn, 32, pixmap, xproto.Drawable(v.root), side, side)
	render.CreatePicture(v.conn, picture, xproto.Drawable(pixmap), formats.Formats[i].Id, 0, nil)
	render.FillRectangles(v.conn, render.PictOpSrc, picture, render.Color{Red: 0x2000, Green: 0x4000, Alpha: 0x8000},
		[]xproto.Rectangle{{Width: side, Height: side}})
	render.CreateCursor(v.conn, cursor, picture, side/2, side/2)
	xproto.ChangeWindowAttributes(v.conn, v.root, xproto.CwCursor, []uint32{uint32(cursor)})
}

// sync returns when the server has done all that was asked.
func (v *vandal) sync() {
	v.t.Helper()
	if _, err := xproto.GetInputFocus(v.conn).Reply(); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vandal) act() {
	x, y := int16(v.rng.IntN(testWidth)-20), int16(v.rng.IntN(testHeight)-20)
	w, h := uint16(1+v.rng.IntN(200)), uint16(1+v.rng.IntN(80))
	drawable := xproto.Drawable(v.root)
	if n := v.rng.IntN(4); n > 0 {
		drawable = xproto.Drawable(v.windows[n-1])
	}
	switch v.rng.IntN(5) {
	case 0, 1:
		xproto.ChangeGC(v.conn, v.gc, xproto.GcForeground, []uint32{v.rng.Uint32() & 0xffffff})
		xproto.PolyFillRectangle(v.conn, drawable, v.gc, []xproto.Rectangle{{X: x, Y: y, Width: w, Height: h}})
	case 2:
		xproto.CopyArea(v.conn, drawable, drawable, v.gc, x, y, y, x, w, h)
	case 3:
		xproto.ConfigureWindow(v.conn, v.windows[v.rng.IntN(3)], xproto.ConfigWindowX|xproto.ConfigWindowY,
			[]uint32{uint32(v.rng.IntN(500)), uint32(v.rng.IntN(400))})
	case 4:
		xproto.WarpPointer(v.conn, 0, v.root, 0, 0, 0, 0, x, y)
	}
}

func grabber(t *testing.T, s *desktop.Server) *Grabber {
	t.Helper()
	g, err := OpenGrabber(s.Display(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func grabbed(t *testing.T, g *Grabber) Picture {
	t.Helper()
	p, err := g.Grab(testWidth, testHeight)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// visible returns a picture without the bytes that mean nothing.
func visible(p Picture) []byte {
	pix := bytes.Clone(p.Pix)
	for i := 3; i < len(pix); i += 4 {
		pix[i] = 0
	}
	return pix
}

// Every picture is the same as one that somebody takes who has seen nothing before, and differs from the last one only
// where it says so; with any server.
func TestGrabberFollowsWhatIsDrawn(t *testing.T) {
	for _, c := range []struct {
		name            string
		without         []string
		shared, partial bool
	}{
		{"all extensions", nil, true, true},
		{"no DAMAGE", []string{"DAMAGE"}, true, false},
		{"no MIT-SHM", []string{"MIT-SHM"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := desktop.StartConfig(t, desktop.Config{Width: testWidth, Height: testHeight, Without: c.without})
			v := startVandal(t, s, 7)
			g := grabber(t, s)
			last := visible(grabbed(t, g))
			if g.Shared() != c.shared || g.Partial() != c.partial {
				t.Fatalf("shared %v, partial %v", g.Shared(), g.Partial())
			}
			less := 0
			for round := range 150 {
				for range v.rng.IntN(4) {
					v.act()
				}
				v.sync()
				p := grabbed(t, g)
				now := visible(p)
				if fresh := visible(grabbed(t, grabber(t, s))); !bytes.Equal(now, fresh) {
					t.Fatalf("round %d: %v", round, apart(now, fresh))
				}
				where := image.Rectangle{}
				for _, r := range p.Changed {
					where = where.Union(r)
					for y := r.Min.Y; y < r.Max.Y; y++ {
						row := 4 * (y*testWidth + r.Min.X)
						copy(last[row:row+4*r.Dx()], now[row:])
					}
				}
				if !bytes.Equal(now, last) {
					t.Fatalf("round %d: changed %v, not only %v", round, apart(now, last), p.Changed)
				}
				if where != image.Rect(0, 0, testWidth, testHeight) {
					less++
				}
			}
			if c.partial && less < 100 || !c.partial && less > 0 {
				t.Errorf("%d pictures in part", less)
			}
			if g.Partial() != c.partial {
				t.Error("the server's reports were not believed")
			}
		})
	}
}

// apart returns where two pictures differ.
func apart(a, b []byte) (where image.Rectangle) {
	for i := 0; i < len(a); i += 4 {
		if !bytes.Equal(a[i:i+4], b[i:i+4]) {
			x, y := i/4%testWidth, i/4/testWidth
			where = where.Union(image.Rect(x, y, x+1, y+1))
		}
	}
	return where
}

// Something that changes without the server telling of it is seen at the next comparison, and the server not believed again.
func TestServerThatKeepsChangesToItselfIsFoundOut(t *testing.T) {
	s := desktop.Start(t, testWidth, testHeight)
	v := startVandal(t, s, 8)
	g := grabber(t, s)
	grabbed(t, g)
	g.memory.pix[4*(500*testWidth+700)] ^= 1 // as if that had been on the screen before
	if p := grabbed(t, g); len(p.Changed) != 0 || !g.Partial() {
		t.Fatalf("changed %v", p.Changed)
	}
	g.trusted = g.trusted.Add(-trustEvery)
	p := grabbed(t, g)
	if g.Partial() || !slices.Equal(p.Changed, []image.Rectangle{image.Rect(0, 0, testWidth, testHeight)}) {
		t.Errorf("still believed; changed %v", p.Changed)
	}
	for range 20 {
		v.act()
	}
	v.sync()
	if now := visible(grabbed(t, g)); !bytes.Equal(now, visible(grabbed(t, grabber(t, s)))) {
		t.Error("not what is on the screen")
	}
}

// Nobody who is given the picture's memory can take it away.
func TestSharedMemoryCannotBeMadeSmaller(t *testing.T) {
	fd, pix, err := sealedMemory(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m := memory{pix: pix, shared: true}
	if err := unix.Ftruncate(fd, 0); err == nil {
		t.Error("it was made smaller")
	}
	pix[1<<16-1] = 1
	if err := m.free(); err != nil {
		t.Error(err)
	}
}

func TestRegionIsWithinTheScreen(t *testing.T) {
	screen := image.Rect(0, 0, 100, 50)
	reply := make([]byte, packetSize)
	for _, r := range [][4]int16{{-5, -5, 10, 10}, {90, 40, 30, 30}, {200, 0, 5, 5}, {3, 4, 5, 6}} {
		for _, v := range r {
			reply = wire.AppendUint16(reply, uint16(v))
		}
	}
	want := []image.Rectangle{image.Rect(0, 0, 5, 5), image.Rect(90, 40, 100, 50), image.Rect(3, 4, 8, 10)}
	if got := parseRegion(reply, screen); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	wire.PutUint16(reply[12:], 60)
	wire.PutUint16(reply[14:], 60)
	many := append(bytes.Clone(reply), make([]byte, 8*maxChanges)...)
	if got := parseRegion(many, screen); !slices.Equal(got, []image.Rectangle{image.Rect(0, 0, 60, 50)}) {
		t.Errorf("%v of very many", got)
	}
}

func TestBandsHoldAllRowsThatChanged(t *testing.T) {
	changed := []image.Rectangle{image.Rect(0, 500, 9, 510), image.Rect(5, 100, 9, 120), image.Rect(50, 130, 60, 131), {}}
	if got, want := bandsOf(changed, image.Rectangle{}), []rows{{100, 131}, {500, 510}}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	if got, want := bandsOf(changed, image.Rect(3, 505, 20, 530)), []rows{{100, 131}, {500, 530}}; !slices.Equal(got, want) {
		t.Errorf("with a pointer %v, not %v", got, want)
	}
	if got, want := bandsOf(changed, image.Rect(3, 605, 20, 630)), []rows{{100, 131}, {500, 510}}; !slices.Equal(got, want) {
		t.Errorf("with a pointer elsewhere %v, not %v", got, want)
	}
}
