package desktop

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// Shown is one value of the counter as the X server confirmed it.
type Shown struct {
	// Value is the counter, one more than in the entry before.
	Value uint32
	// Before and At enclose the moment at which the value came onto the screen.
	Before, At time.Time
	// Width and Height are the size of the screen right after it was drawn.
	Width, Height int
}

// Counter draws a growing number at the top left of a server's screen, above
// every other window.
type Counter struct {
	client *xgb.Conn
	root   xproto.Drawable
	window xproto.Window
	patch  xproto.Pixmap // the window's background: the server repaints it by itself when a resize clears the screen
	gc     xproto.Gcontext
	depth  byte

	stop func()
	done chan struct{}

	mu     sync.Mutex
	ledger []Shown
	err    error
}

// StartCounter shows 1 and then the next number every interval until Stop.
func StartCounter(s *Server, interval time.Duration) (*Counter, error) {
	c, err := NewCounter(s)
	if err != nil {
		return nil, err
	}
	stopping := make(chan struct{})
	c.stop = sync.OnceFunc(func() { close(stopping) })
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		defer closeClient(c.client)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if _, err := c.Step(); err != nil {
				c.mu.Lock()
				c.err = err
				c.mu.Unlock()
				return
			}
			select {
			case <-tick.C:
			case <-stopping:
				return
			}
		}
	}()
	return c, nil
}

// NewCounter opens the counter's window and draws nothing: the caller draws
// with Step, from one goroutine. Stop closes it.
func NewCounter(s *Server) (*Counter, error) {
	client, err := s.dial()
	if err != nil {
		return nil, err
	}
	c := &Counter{client: client, done: make(chan struct{})}
	c.stop = sync.OnceFunc(func() {
		closeClient(client)
		close(c.done)
	})
	if err := c.open(); err != nil {
		c.stop()
		return nil, fmt.Errorf("open counter window: %w", err)
	}
	return c, nil
}

func (c *Counter) open() error {
	screen := xproto.Setup(c.client).DefaultScreen(c.client)
	c.root, c.depth = xproto.Drawable(screen.Root), screen.RootDepth
	var err error
	if c.window, err = xproto.NewWindowId(c.client); err != nil {
		return err
	}
	if c.gc, err = xproto.NewGcontextId(c.client); err != nil {
		return err
	}
	if c.patch, err = xproto.NewPixmapId(c.client); err != nil {
		return err
	}
	if err := xproto.CreatePixmapChecked(c.client, c.depth, c.patch, c.root, PatchWidth, PatchHeight).Check(); err != nil {
		return err
	}
	err = xproto.CreateWindowChecked(c.client, screen.RootDepth, c.window, screen.Root,
		0, 0, PatchWidth, PatchHeight, 0, xproto.WindowClassInputOutput, screen.RootVisual,
		xproto.CwBackPixmap|xproto.CwOverrideRedirect, []uint32{xproto.BackPixmapNone, 1}).Check()
	if err != nil {
		return err
	}
	err = xproto.CreateGCChecked(c.client, c.gc, xproto.Drawable(c.window),
		xproto.GcGraphicsExposures, []uint32{0}).Check()
	if err != nil {
		return err
	}
	return xproto.MapWindowChecked(c.client, c.window).Check()
}

// Step shows the next number and returns once the X server drew it.
func (c *Counter) Step() (Shown, error) {
	c.mu.Lock()
	value := uint32(len(c.ledger)) + 1
	c.mu.Unlock()
	pix := drawPatch(value)
	before := time.Now()
	xproto.ConfigureWindow(c.client, c.window, xproto.ConfigWindowStackMode, []uint32{xproto.StackModeAbove})
	xproto.PutImage(c.client, xproto.ImageFormatZPixmap, xproto.Drawable(c.patch), c.gc,
		PatchWidth, PatchHeight, 0, 0, 0, c.depth, pix)
	// Only clearing, one request, changes what is on the screen.
	xproto.ChangeWindowAttributes(c.client, c.window, xproto.CwBackPixmap, []uint32{uint32(c.patch)})
	xproto.ClearArea(c.client, false, c.window, 0, 0, 0, 0)
	// The server works through a client's requests in order, so the answer to
	// this one also says that the image is on the screen.
	root, err := xproto.GetGeometry(c.client, c.root).Reply()
	if err != nil {
		return Shown{}, fmt.Errorf("draw counter %d: %w", value, err)
	}
	shown := Shown{Value: value, Before: before, At: time.Now(), Width: int(root.Width), Height: int(root.Height)}
	c.mu.Lock()
	c.ledger = append(c.ledger, shown)
	c.mu.Unlock()
	return shown, nil
}

// Ledger returns everything shown so far, oldest first.
func (c *Counter) Ledger() []Shown {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ledger)
}

// Stop removes the counter from the screen. It returns why the counter had
// ended already, if it had; it may be called again.
func (c *Counter) Stop() error {
	c.stop()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
