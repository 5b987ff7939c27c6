package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
	"github.com/recfleet/recfleet/test/desktop"
)

// session is what recctl tells of a session, in plain terms.
type session struct {
	Start, End time.Time
	Recorded   time.Duration
	Segments   []segment
	Gaps       []stretch
}

type segment struct {
	stretch
	Number        int
	Width, Height int // of the desktop
	Captured      int64
	Frames        int64 // in the mp4
	Path          string
}

type stretch struct{ From, To time.Time }

func (s stretch) overlaps(from, to time.Time) bool { return from.Before(s.To) && s.From.Before(to) }

func (s stretch) String() string {
	return fmt.Sprintf("%s-%s", s.From.Format("05.000"), s.To.Format("05.000"))
}

// waitForValues waits until n more values were shown.
func waitForValues(t *testing.T, c *desktop.Counter, n int) {
	t.Helper()
	want := len(c.Ledger()) + n
	waitFor(t, "the counter goes on", func() bool { return len(c.Ledger()) >= want })
}

// recordedSession asks the agent which session it records.
func recordedSession(t *testing.T, spool string) string {
	t.Helper()
	var status struct {
		SessionID string `json:"session_id"`
	}
	out := run(t, "recagent", "status", "-o", "json", "--spool-dir", spool)
	if err := json.Unmarshal([]byte(out), &status); err != nil || status.SessionID == "" {
		t.Fatalf("status %q: %v", out, err)
	}
	return status.SessionID
}

func waitForComplete(t *testing.T, data, id string) session {
	t.Helper()
	return waitForCompleteBy(t, func() string {
		return run(t, "recctl", "--context", filepath.Join(data, "client.json"), "sessions", "get", id, "-o", "json")
	})
}

// waitForCompleteBy waits with a way of its own to ask for the session in JSON.
func waitForCompleteBy(t *testing.T, ask func() string) session {
	t.Helper()
	var got recfleetv1.Session
	waitFor(t, "the session is complete", func() bool {
		out := ask()
		if err := protojson.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		switch got.GetState() {
		case recfleetv1.SessionState_SESSION_STATE_COMPLETE:
			return true
		case recfleetv1.SessionState_SESSION_STATE_STARTING, recfleetv1.SessionState_SESSION_STATE_RECORDING, recfleetv1.SessionState_SESSION_STATE_FINALIZING:
			return false
		default:
			t.Fatalf("the session is %s: %s", got.GetState(), got.GetStateReason())
			return false
		}
	})
	s := session{Start: got.GetStartTime().AsTime(), End: got.GetEndTime().AsTime(), Recorded: got.GetRecordedDuration().AsDuration()}
	for i, g := range got.GetSegments() {
		if int(g.GetNumber()) != i+1 {
			t.Errorf("segment %d stands at place %d", g.GetNumber(), i+1)
		}
		s.Segments = append(s.Segments, segment{
			stretch: stretch{g.GetStartTime().AsTime(), g.GetEndTime().AsTime()}, Number: int(g.GetNumber()),
			Width: int(g.GetWidth()), Height: int(g.GetHeight()), Captured: g.GetFrameCount(), Frames: g.GetRecording().GetFrameCount(),
			Path: strings.TrimPrefix(g.GetRecording().GetLocation(), "file://"),
		})
	}
	for _, g := range got.GetGaps() {
		s.Gaps = append(s.Gaps, stretch{g.GetStartTime().AsTime(), g.GetEndTime().AsTime()})
	}
	return s
}

// expectAccounted expects every second to be in exactly one segment or gap, but for one frame interval: where the size
// changes, some milliseconds lie between the last frame of one segment and the first of the next.
func expectAccounted(t *testing.T, s session) {
	t.Helper()
	whole := s.End.Sub(s.Start)
	sum := s.Recorded
	for _, g := range s.Gaps {
		sum += g.To.Sub(g.From)
	}
	if d := (whole - sum).Abs(); d > frameInterval {
		t.Errorf("segments and gaps are %s of %s", sum, whole)
	}
	for i := 1; i < len(s.Segments); i++ {
		if a, b := s.Segments[i-1], s.Segments[i]; b.From.Before(a.To) {
			t.Errorf("segment %d begins at %s, before the end of segment %d at %s", b.Number, b.From, a.Number, a.To)
		}
	}
}

// picture is a counter value in a video.
type picture struct {
	value   uint32
	at      time.Time
	segment int
}

// readCounters decodes every video of a session in order.
func readCounters(t *testing.T, s session) []picture {
	t.Helper()
	var seen []picture
	for _, g := range s.Segments {
		pictures, err := desktop.DecodeMP4(t.Context(), g.Path)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(pictures)) != g.Frames {
			t.Errorf("segment %d has %d pictures, its record says %d", g.Number, len(pictures), g.Frames)
		}
		if g.Frames > g.Captured {
			t.Errorf("segment %d has %d pictures, only %d were captured", g.Number, g.Frames, g.Captured)
		}
		for i, p := range pictures {
			if p.Width != g.Width+g.Width%2 || p.Height != g.Height+g.Height%2 {
				t.Errorf("segment %d is %dx%d, the desktop was %dx%d", g.Number, p.Width, p.Height, g.Width, g.Height)
			}
			if !p.OK {
				t.Errorf("picture %d of segment %d cannot be read", i, g.Number)
				continue
			}
			seen = append(seen, picture{p.Counter, g.From.Add(p.At), g.Number})
		}
	}
	return seen
}

// lateness is how much later than on the screen a value may stand in a video: a frame interval, and what a busy machine
// takes to hand a frame over.
const lateness = frameInterval + 500*time.Millisecond

// expectEveryValue compares what was shown with what was recorded.
func expectEveryValue(t *testing.T, s session, shown []desktop.Shown, seen []picture) {
	t.Helper()
	if len(seen) < 20 || len(shown) < 22 {
		t.Fatalf("%d pictures of %d values: too few to tell anything", len(seen), len(shown))
	}
	found := map[uint32]bool{}
	for i, p := range seen {
		found[p.value] = true
		if i > 0 && (p.value < seen[i-1].value || !p.at.After(seen[i-1].at)) {
			t.Errorf("value %d at %s in segment %d comes after value %d at %s", p.value, p.at, p.segment, seen[i-1].value, seen[i-1].at)
		}
		on := shown[p.value-shown[0].Value]
		if p.at.Before(on.Before.Add(-lateness)) {
			t.Errorf("value %d stands at %s, %s before it was shown", p.value, p.at, on.Before.Sub(p.at))
		}
		if next := int(p.value-shown[0].Value) + 1; next < len(shown) && p.at.After(shown[next].At.Add(lateness)) {
			t.Errorf("value %d stands at %s, %s after it was gone", p.value, p.at, p.at.Sub(shown[next].At))
		}
	}
	for i, v := range shown[:len(shown)-1] {
		gone := shown[i+1].Before
		within := !v.At.Before(s.Segments[0].From) && !gone.After(s.Segments[len(s.Segments)-1].To)
		if !within || found[v.Value] {
			continue
		}
		declared := false
		for _, g := range s.Gaps {
			declared = declared || g.overlaps(v.At.Add(-lateness), gone.Add(lateness))
		}
		if !declared {
			t.Errorf("value %d was on screen from %s to %s and is in no video and no gap", v.Value, v.At, gone)
		}
	}
}
