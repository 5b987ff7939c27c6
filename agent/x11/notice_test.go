package x11

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/recfleet/recfleet/test/desktop"
)

// screen returns a picture of all of a screen.
func screen(t *testing.T, g *Grabber, w, h int) *image.RGBA {
	t.Helper()
	p, err := g.Grab(w, h)
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := 0; i < len(p.Pix); i += 4 {
		copy(out.Pix[i:], []byte{p.Pix[i+2], p.Pix[i+1], p.Pix[i], 255})
	}
	return out
}

// paper returns where a notice lies, and how many of its pixels are ink.
func paper(m *image.RGBA) (place image.Rectangle, ink int) {
	paper, dark := color.RGBA{0xff, 0xf8, 0xdc, 255}, color.RGBA{0x20, 0x20, 0x20, 255}
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			switch m.RGBAAt(x, y) {
			case paper:
				place = place.Union(image.Rect(x, y, x+1, y+1))
			case dark:
				ink++
			}
		}
	}
	return place, ink
}

func TestNoticeIsSeenAndGoes(t *testing.T) {
	s := desktop.StartConfig(t, desktop.Config{Width: 1024, Height: 768})
	g, err := OpenGrabber(s.Display(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	text := "This session is being recorded.\nDiese Sitzung wird aufgezeichnet: für 90 Tage, \x1b[31m" + strings.Repeat("long ", 30)
	shown := make(chan error, 1)
	go func() {
		shown <- ShowNotice(t.Context(), s.Display(), Options{}, text, time.Hour)
	}()
	var place image.Rectangle
	await(t, "the notice", func() bool {
		m := screen(t, g, 1024, 768)
		var ink int
		place, ink = paper(m)
		if ink > 1000 {
			keep(t, m)
		}
		return ink > 1000
	})
	if place.Dx() < 400 || place.Dy() < 80 || place.Min.Y > 200 || place.Min.X < 5 || place.Max.X > 1019 {
		t.Errorf("it lies at %v", place)
	}
	v := startVandal(t, s, 9)
	if err := xtest.Init(v.conn); err != nil {
		t.Fatal(err)
	}
	xtest.FakeInput(v.conn, xproto.MotionNotify, 0, 0, v.root, int16(place.Max.X-9), int16(place.Min.Y+9), 0)
	xtest.FakeInput(v.conn, xproto.ButtonPress, 1, 0, v.root, 0, 0, 0)
	xtest.FakeInput(v.conn, xproto.ButtonRelease, 1, 0, v.root, 0, 0, 0)
	v.sync()
	select {
	case err := <-shown:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the click was not heard")
	}
	await(t, "its end", func() bool { _, ink := paper(screen(t, g, 1024, 768)); return ink == 0 })

	if err := ShowNotice(t.Context(), s.Display(), Options{}, "a", time.Millisecond); err != nil {
		t.Errorf("one that was there for long enough: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ShowNotice(gone, s.Display(), Options{}, "a", time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("one that had no time: %v", err)
	}
	locked := desktop.StartConfig(t, desktop.Config{Width: 320, Height: 240, Locked: true})
	if err := ShowNotice(t.Context(), locked.Display(), Options{Authority: locked.Authority()}, "a", time.Millisecond); err != nil {
		t.Errorf("with the cookie: %v", err)
	}
	if err := ShowNotice(t.Context(), locked.Display(), Options{}, "a", time.Hour); !errors.Is(err, ErrRefused) {
		t.Errorf("without the cookie: %v", err)
	}
}

// keep writes the picture where somebody wants to look at it.
func keep(t *testing.T, m *image.RGBA) {
	t.Helper()
	path := os.Getenv("RECFLEET_PICTURES")
	if path == "" {
		return
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}
