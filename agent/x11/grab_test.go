package x11_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/test/desktop"
)

func openGrabber(t *testing.T, s *desktop.Server) *x11.Grabber {
	t.Helper()
	g, err := x11.OpenGrabber(s.Display(), x11.Options{Authority: s.Authority()})
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

// byFFmpeg returns what FFmpeg takes for the picture, without the bytes that mean nothing.
func byFFmpeg(t *testing.T, s *desktop.Server, w, h int, pointer string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "x11grab", "-draw_mouse", pointer, "-video_size", fmt.Sprintf("%dx%d", w, h),
		"-i", s.Display(), "-frames:v", "1", "-c", "copy", "-f", "rawvideo", "pipe:1")
	cmd.Env = s.Env()
	pix, err := cmd.Output()
	if err != nil || len(pix) != 4*w*h {
		t.Fatalf("%d bytes, %v", len(pix), err)
	}
	return colors(pix)
}

func colors(pix []byte) []byte {
	for i := 3; i < len(pix); i += 4 {
		pix[i] = 0
	}
	return pix
}

// 3001x1601 takes several requests.
func TestGrabSeesWhatFFmpegSees(t *testing.T) {
	s := desktop.StartConfig(t, desktop.Config{Width: 1025, Height: 769, Locked: true})
	counter, err := desktop.NewCounter(s)
	if err != nil {
		t.Fatal(err)
	}
	defer counter.Stop()
	if _, err := counter.Step(); err != nil {
		t.Fatal(err)
	}
	g := openGrabber(t, s)
	for _, size := range [][2]int{{1025, 769}, {640, 480}, {3001, 1601}, {33, 35}} {
		w, h := size[0], size[1]
		resize(t, s, w, h)
		picture, err := g.Grab(w, h)
		if err != nil {
			t.Fatal(err)
		}
		pix := picture.Pix
		want := byFFmpeg(t, s, w, h, "1")
		if !bytes.Equal(colors(pix), want) {
			t.Errorf("%dx%d: not what FFmpeg sees", w, h)
		}
		if n, ok := desktop.ReadCounter(pix, w, h, 4*w); w > 320 && (!ok || n != 1) {
			t.Errorf("%dx%d: counter %d, %v", w, h, n, ok)
		}
		if w > 320 && bytes.Equal(want, byFFmpeg(t, s, w, h, "0")) {
			t.Errorf("%dx%d: no pointer to be seen", w, h)
		}
	}
}

func TestGrabOfAnotherSizeIsRefused(t *testing.T) {
	s := desktop.Start(t, 800, 600)
	g := openGrabber(t, s)
	for _, size := range [][2]int{{801, 600}, {800, 599}, {400, 300}} {
		if _, err := g.Grab(size[0], size[1]); !errors.Is(err, x11.ErrSize) {
			t.Errorf("%v: %v", size, err)
		}
	}
	if _, err := g.Grab(800, 1<<15); err == nil || errors.Is(err, x11.ErrSize) {
		t.Errorf("no screen is that high: %v", err)
	}
	if _, err := g.Grab(800, 600); err != nil {
		t.Error(err)
	}
	s.Kill()
	if _, err := g.Grab(800, 600); !errors.Is(err, x11.ErrLost) {
		t.Errorf("from a server that is gone: %v", err)
	}
}

// A screen that changes while it is being grabbed gives no picture, never one of both sizes.
func TestGrabsDuringResizesAreWholeOrRefused(t *testing.T) {
	s := desktop.Start(t, 1280, 720)
	g := openGrabber(t, s)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := s.Resize(1280+i%2*640, 720+i%2*360); err != nil {
				done <- err
				return
			}
		}
	}()
	taken, refused := 0, 0
	for taken < 20 || refused < 20 {
		switch _, err := g.Grab(1280, 720); {
		case err == nil:
			taken++
		case errors.Is(err, x11.ErrSize):
			refused++
		default:
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkGrab(b *testing.B) {
	s := desktop.Start(b, 1920, 1080)
	g, err := x11.OpenGrabber(s.Display(), x11.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	for b.Loop() {
		if _, err := g.Grab(1920, 1080); err != nil {
			b.Fatal(err)
		}
	}
}
