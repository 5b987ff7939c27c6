package x11

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var (
	// ErrNoDisplay says that no server listens under the display's name.
	ErrNoDisplay = errors.New("no such display")
	// ErrRefused says that a server answered and did not let the agent in.
	ErrRefused = errors.New("display refused the connection")
	// ErrPixels says that the screen's pixels are not BGR0, in 32 bits each.
	ErrPixels = errors.New("display has unsupported pixels")
	// ErrLost says that the connection ended or that the server talked nonsense.
	// The display is of no more use; open it again.
	ErrLost = errors.New("display lost")
)

const (
	defaultTimeout = 10 * time.Second
	defaultSettle  = 30 * time.Millisecond
)

// Options says how to open a display. The zero value suits a display that lets
// in every client of the agent's own user.
type Options struct {
	// Authority is the path of the file with the server's cookie, as the server
	// got it with -auth. Host names in it are not compared: an instance may have
	// been renamed since. Empty means to show no cookie.
	Authority string
	// Timeout bounds Open, each Geometry and each Grab. Zero means 10 s.
	Timeout time.Duration
	// Settle is how long a display must be quiet before Watch reports a change,
	// so that the steps of one change become one report. A display that is never
	// quiet is reported every ten times Settle. Zero means 30 ms.
	Settle time.Duration
}

// Geometry is the layout of a screen at one moment, in pixels.
type Geometry struct {
	Width, Height int
	// Monitors are in the server's order. A server without RandR 1.5 has one,
	// unnamed, that covers the screen.
	Monitors []Monitor
}

// Monitor is the part of the screen that one monitor shows.
type Monitor struct {
	Name          string
	X, Y          int
	Width, Height int
	Primary       bool
}

// Equal reports whether both layouts are the same.
func (g Geometry) Equal(other Geometry) bool {
	return g.Width == other.Width && g.Height == other.Height && slices.Equal(g.Monitors, other.Monitors)
}

// Display is an open display. Its methods may be called from any goroutine.
type Display struct {
	name    string
	timeout time.Duration
	settle  time.Duration

	// Two connections, so that Geometry answers while Watch waits.
	asking sync.Mutex
	ask    *client
	// saver is the opcode of the extension that tells of input, once known; 0
	// where there is none.
	saver      byte
	saverKnown bool

	watching sync.Mutex
	events   *client
}

// Open connects to a local display such as ":0". The error wraps ErrNoDisplay,
// ErrRefused or ErrPixels where it is one of those. From here on the server notes each
// change for Watch. The caller must Close the display.
func Open(display string, opts Options) (*Display, error) {
	d, err := open(display, opts)
	if err != nil {
		return nil, fmt.Errorf("open display %q: %w", display, err)
	}
	return d, nil
}

func open(display string, opts Options) (*Display, error) {
	number, cookies, err := credentials(display, opts)
	if err != nil {
		return nil, err
	}
	d := &Display{name: display, timeout: opts.timeout(), settle: opts.Settle}
	if d.settle <= 0 {
		d.settle = defaultSettle
	}
	deadline := time.Now().Add(d.timeout)
	if d.ask, err = connect(number, cookies, deadline); err != nil {
		return nil, err
	}
	if err := d.ask.pixels.check(); err != nil {
		return nil, errors.Join(err, d.ask.close())
	}
	if d.events, err = connect(number, cookies, deadline); err != nil {
		return nil, errors.Join(err, d.ask.close())
	}
	if err := d.events.selectChanges(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// credentials returns a display's number and the cookies to show it; one that is
// nil stands for none.
func credentials(display string, opts Options) (number int, cookies [][]byte, err error) {
	if number, err = parseDisplay(display); err != nil {
		return 0, nil, err
	}
	if opts.Authority == "" {
		return number, [][]byte{nil}, nil
	}
	cookies, err = readCookies(opts.Authority, number)
	return number, cookies, err
}

func (o Options) timeout() time.Duration {
	if o.Timeout <= 0 {
		return defaultTimeout
	}
	return o.Timeout
}

// Name returns the display's name as it was given to Open.
func (d *Display) Name() string { return d.name }

// Geometry asks the server for the present layout. If the server does not
// answer within the timeout, the error wraps os.ErrDeadlineExceeded and the
// display can still be used.
func (d *Display) Geometry() (Geometry, error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	d.ask.until(time.Now().Add(d.timeout))
	g, err := d.ask.geometry()
	if err != nil {
		return Geometry{}, fmt.Errorf("read geometry of display %q: %w", d.name, err)
	}
	return g, nil
}

// Close ends the connections; Watch and Geometry then return ErrLost. It may be
// called again.
func (d *Display) Close() error {
	return errors.Join(d.ask.close(), d.events.close())
}
