package capture

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/timeline"
	"github.com/recfleet/recfleet/internal/screencodec"
	"github.com/recfleet/recfleet/test/desktop"
)

// sitting is a capture that runs for one test.
type sitting struct {
	t          *testing.T
	spool      *spool.Spool
	session    *spool.Session
	capture    *Capture
	geometries chan *spool.Geometry
	stop       context.CancelFunc
	done       chan error
	line       timeline.Timeline
	ended      time.Time
}

func sit(t *testing.T, display string, change func(*Config, *spool.Config)) *sitting {
	t.Helper()
	line := timeline.New()
	cfg := Config{Display: display, FrameRate: 5, SegmentLength: time.Hour, Start: line.Start(), Now: line.Now, Logger: hclog.NewNullLogger()}
	pc := spool.Config{Dir: t.TempDir()}
	if change != nil {
		change(&cfg, &pc)
	}
	p, err := spool.Open(pc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Create(spool.Registration{RequestID: "0123456789abcdef", SessionID: "s1", Start: line.Start(),
		Settings: spool.Settings{FrameRate: cfg.FrameRate}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sink, cfg.Room = s, p.Room
	ctx, stop := context.WithCancel(context.Background())
	k := &sitting{t: t, spool: p, session: s, capture: New(cfg), geometries: make(chan *spool.Geometry, 1), stop: stop,
		done: make(chan error, 1), line: line}
	go func() { k.done <- k.capture.Run(ctx, k.geometries) }()
	t.Cleanup(func() {
		k.end()
		_ = s.Close()
		_ = p.Close()
	})
	return k
}

// end stops the capture and brings everything to disk.
func (k *sitting) end() {
	k.t.Helper()
	k.stop()
	if k.done == nil {
		return
	}
	if err := <-k.done; err != nil {
		k.t.Error(err)
	}
	k.done, k.ended = nil, k.line.Now()
	if err := k.session.Flush(); err != nil {
		k.t.Error(err)
	}
}

func (k *sitting) see(w, h int) { k.geometries <- &spool.Geometry{Width: w, Height: h} }

func (k *sitting) awaitFrames(n int64) {
	k.t.Helper()
	await(k.t, func() bool { got, _ := k.capture.Frames(); return got >= n })
}

// awaitSteady waits until pictures come again as they are to: from FFmpeg, where that was ordered.
func (k *sitting) awaitSteady() {
	k.t.Helper()
	steady := k.capture.frames.Load
	if k.capture.cfg.FFmpeg {
		steady = func() int64 { return k.capture.frames.Load() - k.capture.shown.Load() }
	}
	n := steady()
	await(k.t, func() bool { return steady() >= n+3 })
}

// withBoth runs a test with pictures of the camera, and with FFmpeg's.
func withBoth(t *testing.T, test func(t *testing.T, order func(*Config, *spool.Config))) {
	t.Run("camera", func(t *testing.T) { test(t, func(*Config, *spool.Config) {}) })
	t.Run("ffmpeg", func(t *testing.T) { test(t, func(c *Config, _ *spool.Config) { c.FFmpeg = true }) })
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-tick.C:
		}
	}
}

type picture struct {
	at      time.Time
	counter uint32
	read    bool
	w, h    int
}

// pictures decodes every segment.
func (k *sitting) pictures() []picture {
	k.t.Helper()
	var all []picture
	for _, g := range k.session.Segments() {
		r, w := io.Pipe()
		go func() {
			var err error
			for seq := 0; seq < g.Chunks && err == nil; seq++ {
				c, cerr := k.session.Chunk(g.Number, seq, nil)
				if err = cerr; err == nil {
					_, err = w.Write(c.Payload)
				}
			}
			w.CloseWithError(err)
		}()
		d, err := screencodec.NewDecoder(r, screencodec.Limits{})
		if err != nil {
			k.t.Fatal(err)
		}
		h := d.Header()
		for {
			f, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				k.t.Fatalf("segment %d: %v", g.Number, err)
			}
			n, ok := desktop.ReadCounter(f.Pix, h.Width, h.Height, 4*h.Width)
			all = append(all, picture{at: h.Start.Add(f.At), counter: n, read: ok, w: h.Width, h: h.Height})
		}
		_ = r.Close()
	}
	return all
}

func (k *sitting) events() []spool.Event {
	k.t.Helper()
	events, err := k.session.Events(0, 1000)
	if err != nil {
		k.t.Fatal(err)
	}
	return events
}

func gaps(events []spool.Event) []spool.GapDeclared {
	var all []spool.GapDeclared
	for _, e := range events {
		if e.GapDeclared != nil {
			all = append(all, *e.GapDeclared)
		}
	}
	return all
}

// checkCovered says that segments and gaps follow one another from the first segment to the last without a hole.
func (k *sitting) checkCovered() {
	k.t.Helper()
	var until time.Time
	n, epochs := 0, 0
	for _, e := range k.events() {
		switch {
		case e.EpochStarted != nil:
			if epochs++; e.EpochStarted.Epoch != epochs {
				k.t.Errorf("epoch %d after %d", e.EpochStarted.Epoch, epochs-1)
			}
		case e.SegmentSealed != nil:
			g := e.SegmentSealed
			if n++; g.Segment != n {
				k.t.Errorf("segment %d sealed after %d", g.Segment, n-1)
			}
			covered := until.IsZero() || g.Start.Equal(until)
			for _, gap := range gaps(k.events()) {
				covered = covered || gap.Start.Equal(until) && gap.End.Equal(g.Start)
			}
			if d := g.Start.Sub(until); !covered && (d < 0 || d > 3*200*time.Millisecond) {
				k.t.Errorf("segment %d starts at %s, the one before ended at %s, and no gap explains it", n, g.Start, until)
			}
			if !g.End.After(g.Start) || g.Frames == 0 {
				k.t.Errorf("segment %+v", g)
			}
			until = g.End
		}
	}
	if until.After(k.ended) {
		t := until.Sub(k.ended)
		k.t.Errorf("the last segment ends %s after the capture did", t)
	}
	if n != len(k.session.Segments()) {
		k.t.Errorf("%d segments sealed of %d", n, len(k.session.Segments()))
	}
}

// checkCounter says that the counter's values are in order and none is missing that was on screen for two intervals and more
// between the first picture and the last, on a screen that held it and outside the gaps.
func checkCounter(t *testing.T, ledger []desktop.Shown, seen []picture, gaps []spool.GapDeclared) {
	t.Helper()
	inGap := func(from, to time.Time) bool {
		return slices.ContainsFunc(gaps, func(g spool.GapDeclared) bool { return from.Before(g.End) && to.After(g.Start) })
	}
	got := make(map[uint32]bool)
	var before uint32
	var first, last time.Time
	for _, p := range seen {
		if !p.read {
			continue
		}
		if p.counter < before {
			t.Errorf("counter %d after %d", p.counter, before)
		}
		before = p.counter
		got[p.counter] = true
		if first.IsZero() {
			first = p.at
		}
		last = p.at
	}
	checked := 0
	for i, e := range ledger {
		if i+1 == len(ledger) || e.At.Before(first) || ledger[i+1].Before.After(last) {
			continue
		}
		next := ledger[i+1]
		if small(e) || small(next) || inGap(e.At, next.Before) {
			continue
		}
		checked++
		if !got[e.Value] && ledger[i+1].Before.Sub(e.At) > 450*time.Millisecond {
			t.Errorf("counter %d was on screen from %s to %s and is in no picture", e.Value, e.At, ledger[i+1].Before)
		}
	}
	if checked < 3 {
		t.Errorf("only %d values could be checked", checked)
	}
}

// small says that the counter was not wholly on the screen.
func small(e desktop.Shown) bool {
	return e.Width < desktop.PatchWidth || e.Height < desktop.PatchHeight
}

// lost counts the instants at which a picture was due and none was taken.
func lost(seen []picture, interval time.Duration) int {
	n := 0
	for i := 1; i < len(seen); i++ {
		n += max(int((seen[i].at.Sub(seen[i-1].at)+interval/2)/interval)-1, 0)
	}
	return n
}
