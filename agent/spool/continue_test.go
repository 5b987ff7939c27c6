package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const another = "fedcba9876543210"

// givenUp makes a session of four segments in three epochs, of which the first has its receipt, and so has the third where
// that is wanted.
func givenUp(t *testing.T, p *Spool, third bool) *Session {
	t.Helper()
	s := create(t, p)
	put := func(e Event) {
		if _, err := s.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	at := func(segment int, d time.Duration) time.Time {
		return began.Add(time.Duration(segment-1)*time.Minute + d)
	}
	last := 0
	for n, epoch := range []int{1, 2, 2, 3} {
		if epoch > last {
			last = epoch
			put(Event{Time: at(n+1, 0), EpochStarted: &EpochStarted{Epoch: epoch, Geometry: Geometry{Width: 640, Height: 480 + epoch}, Cause: "start"}})
		}
		w, err := s.NewSegment(SegmentConfig{Epoch: epoch, Width: 640, Height: 480 + epoch, Start: at(n+1, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 2500)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.FrameEnd(at(n+1, 0)), w.Seal(at(n+1, time.Second))); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
		put(Event{Time: at(n+2, 0), GapDeclared: &GapDeclared{Start: at(n+1, time.Second), End: at(n+2, 0), Cause: "test"}})
		put(Event{Time: at(n+1, 2*time.Second), MetadataChanged: map[string]string{"last": string(rune('1' + n))}})
	}
	flush(t, s)
	free := []int{1}
	if third {
		free = append(free, 3)
	}
	for _, n := range free {
		_, end, err := s.Chain(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Free(n, s.Segments()[n-1].Chunks, end); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// checkContinued says what must be true of the session that givenUp goes on as.
func checkContinued(t *testing.T, s *Session, third bool) {
	t.Helper()
	want := 3
	if third {
		want = 2
	}
	r := s.Registration()
	if r.SessionID != "" || !r.Start.Equal(began.Add(time.Minute)) || r.Metadata["continues"] != "s1" || r.Metadata["last"] != "1" || r.Geometry.Height != 482 || len(s.Segments()) != want {
		t.Fatalf("registration %+v, %d segments", r, len(s.Segments()))
	}
	events, err := s.Events(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	until, epoch, segment := r.Start, 0, 0
	for i, e := range events {
		if e.Number != int64(i+1) {
			t.Errorf("event %d is number %d", i+1, e.Number)
		}
		switch {
		case e.EpochStarted != nil:
			if epoch++; e.EpochStarted.Epoch != epoch || e.EpochStarted.Geometry.Height != 481+epoch {
				t.Errorf("epoch %+v is the %d.", e.EpochStarted, epoch)
			}
		case e.SegmentSealed != nil:
			g := e.SegmentSealed
			if segment++; g.Segment != segment || g.Epoch != epoch || !g.Start.Equal(until) {
				t.Errorf("segment %+v is the %d. in epoch %d, at %s", g, segment, epoch, until)
			}
			until = g.End
		case e.GapDeclared != nil:
			g := e.GapDeclared
			if !g.Start.Equal(until) || (g.Cause == causeElsewhere) != (third && g.End.Sub(g.Start) == time.Second) {
				t.Errorf("gap %+v at %s", g, until)
			}
			until = g.End
		}
	}
	if epoch != 2 || segment != want || !until.Equal(began.Add(4*time.Minute)) {
		t.Errorf("%d epochs, %d segments until %s", epoch, segment, until)
	}
	if err := s.Update(func(r *Registration) { r.SessionID = "s1" }); err != nil { // as verify has it
		t.Fatal(err)
	}
	all := chunks(t, s)
	for n, stream := range verify(t, all) {
		if len(stream) != 2500 {
			t.Errorf("segment %d has %d bytes", n, len(stream))
		}
	}
	for _, c := range all {
		if c.Epoch != 1+(c.Segment+btoi(third))/3 {
			t.Errorf("chunk of segment %d in epoch %d", c.Segment, c.Epoch)
		}
	}
	if got := s.spool.Bytes(); got != int64(want*2500) {
		t.Errorf("%d bytes are said to be spooled", got)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func continues(r *Registration) { r.Metadata["continues"] = "s1" }

func TestContinueTakesWhatHasNoReceipt(t *testing.T) {
	for _, third := range []bool{false, true} {
		dir := t.TempDir()
		p := open(t, dir, nil)
		next, err := p.Continue(givenUp(t, p, third), another, continues)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = next.Close() })
		checkContinued(t, next, third)
		// More can be recorded there, and another process finds it alone.
		capture(t, next, true, 100)
		flush(t, next)
		again := reopened(t, p, next)
		if again.Registration().RequestID != another || len(again.spool.Left()) != 1 || len(again.Segments()) != len(next.Segments()) {
			t.Errorf("%d sessions, %+v", len(again.spool.Left()), again.Registration())
		}
	}
}

func TestContinueWithNothingLeftBeginsWhereTheOldOneEnded(t *testing.T) {
	p := open(t, t.TempDir(), nil)
	s := create(t, p)
	capture(t, s, true, 100, 100)
	flush(t, s)
	_, end, err := s.Chain(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Free(1, s.Segments()[0].Chunks, end); err != nil {
		t.Fatal(err)
	}
	next, err := p.Continue(s, another, continues)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Close() }()
	if r := next.Registration(); !r.Start.Equal(began.Add(400*time.Millisecond)) || len(next.Segments()) != 0 || next.LastEvent() != 0 || p.Bytes() != 0 {
		t.Errorf("%+v, %d segments, %d events, %d bytes", r, len(next.Segments()), next.LastEvent(), p.Bytes())
	}
	capture(t, next, true, 100)
	flush(t, next)
}

// Whenever the process is killed, one of the two sessions is there, and whole.
func TestKilledWhileContinuing(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, nil)
	s := givenUp(t, p, false)
	before := snapshot(t, dir)
	next, err := p.Continue(s, another, continues)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, dir)
	sessions := func(dir string) string { return filepath.Join(dir, "sessions") }
	for name, step := range map[string]struct {
		make      func(dir string)
		continued bool
	}{
		"while it is made": {func(dir string) {
			copyTree(t, filepath.Join(sessions(after), another), filepath.Join(sessions(dir), another+makingSuffix))
		}, false},
		"while the old one is still there": {func(dir string) {
			copyTree(t, filepath.Join(sessions(after), another), filepath.Join(sessions(dir), another))
		}, true},
		"while the old one is removed": {func(dir string) {
			copyTree(t, filepath.Join(sessions(after), another), filepath.Join(sessions(dir), another))
			if err := os.Rename(filepath.Join(sessions(dir), request), filepath.Join(sessions(dir), request+removedSuffix)); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := snapshot(t, before)
			markContinued(t, dir)
			step.make(dir)
			p, got := left(t, dir)
			if !step.continued {
				if got.Registration().RequestID != request {
					t.Fatalf("%+v is left", got.Registration())
				}
				var err error
				if got, err = p.Continue(got, another, continues); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = got.Close() }()
			}
			checkContinued(t, got, false)
		})
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// markContinued does to a spool on disk what Continue does first.
func markContinued(t *testing.T, dir string) {
	t.Helper()
	p := open(t, dir, nil)
	s := p.Left()[0]
	if err := s.Update(func(r *Registration) { r.ContinuedAs = another }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestContinueNeedsSealedSegments(t *testing.T) {
	p := open(t, t.TempDir(), nil)
	s := create(t, p)
	capture(t, s, false, 100)
	if _, err := p.Continue(s, another, continues); err == nil {
		t.Error("an open segment was taken")
	}
	if _, err := p.Continue(s, "../x", continues); err == nil {
		t.Error("a name that is none was taken")
	}
	if got := s.Registration().ContinuedAs; got != "" {
		t.Errorf("continued as %s", got)
	}
}
