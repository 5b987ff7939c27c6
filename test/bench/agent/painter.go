package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/recfleet/recfleet/test/content"
)

// bandRows is how many rows of a picture fit into one request to the X server.
const bandRows = 32

// painter shows a scene on a display. A picture comes onto the screen as a whole.
type painter struct {
	client *xgb.Conn
	window xproto.Window
	buffer xproto.Pixmap
	gc     xproto.Gcontext
	source *content.Source
	shown  []byte
	next   []byte

	ending chan struct{}
	done   chan error
}

// startPainter shows the first picture; Begin lets it move.
func startPainter(display, scene string) (*painter, error) {
	source, err := content.Open(scene, width, height)
	if err != nil {
		return nil, err
	}
	xgb.Logger.SetOutput(io.Discard)
	conn, err := net.Dial("unix", "/tmp/.X11-unix/X"+strings.TrimPrefix(display, ":"))
	if err != nil {
		return nil, err
	}
	client, err := xgb.NewConnNet(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &painter{client: client, source: source, shown: make([]byte, source.Size()), next: make([]byte, source.Size()),
		ending: make(chan struct{}), done: make(chan error, 1)}
	if err := p.open(); err != nil {
		client.Close()
		return nil, fmt.Errorf("open painter's window: %w", err)
	}
	return p, nil
}

func (p *painter) open() error {
	screen := xproto.Setup(p.client).DefaultScreen(p.client)
	window, err := xproto.NewWindowId(p.client)
	if err != nil {
		return err
	}
	buffer, err := xproto.NewPixmapId(p.client)
	if err != nil {
		return err
	}
	gc, err := xproto.NewGcontextId(p.client)
	if err != nil {
		return err
	}
	p.window, p.buffer, p.gc = window, buffer, gc
	xproto.CreateWindow(p.client, screen.RootDepth, window, screen.Root, 0, 0, width, height, 0, xproto.WindowClassInputOutput,
		screen.RootVisual, xproto.CwBackPixmap|xproto.CwOverrideRedirect, []uint32{xproto.BackPixmapNone, 1})
	xproto.CreatePixmap(p.client, screen.RootDepth, buffer, xproto.Drawable(window), width, height)
	xproto.CreateGC(p.client, gc, xproto.Drawable(window), xproto.GcGraphicsExposures, []uint32{0})
	xproto.MapWindow(p.client, window)
	return p.paint(true)
}

// paint brings the next picture onto the screen, as far as it differs.
func (p *painter) paint(whole bool) error {
	p.source.Next(p.next)
	const band = bandRows * width * 4
	first, last := -1, 0
	for at := 0; at < len(p.next); at += band {
		end := min(at+band, len(p.next))
		if !whole && bytes.Equal(p.next[at:end], p.shown[at:end]) {
			continue
		}
		y := at / (4 * width)
		rows := (end - at) / (4 * width)
		xproto.PutImage(p.client, xproto.ImageFormatZPixmap, xproto.Drawable(p.buffer), p.gc, width, uint16(rows), 0, int16(y), 0, 24, p.next[at:end])
		if first < 0 {
			first = y
		}
		last = y + rows
	}
	p.shown, p.next = p.next, p.shown
	if first < 0 {
		return nil
	}
	return xproto.CopyAreaChecked(p.client, xproto.Drawable(p.buffer), xproto.Drawable(p.window), p.gc,
		0, int16(first), 0, int16(first), width, uint16(last-first)).Check()
}

// Begin shows the other pictures, each at its time, until Stop.
func (p *painter) Begin() error {
	go func() {
		tick := time.NewTicker(content.Interval)
		defer tick.Stop()
		for {
			select {
			case <-p.ending:
				p.done <- nil
				return
			case <-tick.C:
			}
			if err := p.paint(false); err != nil {
				p.done <- fmt.Errorf("paint: %w", err)
				<-p.ending
				return
			}
		}
	}()
	return nil
}

// Stop ends it.
func (p *painter) Stop() error {
	close(p.ending)
	err := <-p.done
	p.client.Close()
	return err
}
