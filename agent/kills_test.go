package agent

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/screencodec"
	"github.com/recfleet/recfleet/test/desktop"
)

// counters decodes every segment of a session off the bus and returns the values of the counter that are in its pictures.
func (c *coordinator) counters(t *testing.T, s told, session string) map[uint32]bool {
	t.Helper()
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	grant, err := c.broker.GrantEncoder(key.Public(), "e1")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := bus.DialReader(t.Context(), bus.ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	values := make(map[uint32]bool)
	before := uint32(0)
	for _, e := range s.events {
		g := e.GetSegmentSealed()
		if g == nil {
			continue
		}
		r, w := io.Pipe()
		go func() {
			w.CloseWithError(reader.Read(t.Context(), session, int(g.GetSegment()), int(g.GetChunkCount()), func(c chunk.Chunk) error {
				_, err := w.Write(c.Payload)
				return err
			}))
		}()
		d, err := screencodec.NewDecoder(r, screencodec.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for frames := int64(0); ; frames++ {
			f, err := d.Next()
			if errors.Is(err, io.EOF) || errors.Is(err, screencodec.ErrTruncated) && frames == g.GetFrameCount() {
				break
			}
			if err != nil {
				t.Fatalf("segment %d: %v", g.GetSegment(), err)
			}
			if n, ok := desktop.ReadCounter(f.Pix, d.Header().Width, d.Header().Height, 4*d.Header().Width); ok {
				if n < before {
					t.Errorf("counter %d after %d", n, before)
				}
				values[n], before = true, n
			}
		}
		_ = r.Close()
	}
	return values
}

// ffmpegOf returns an FFmpeg that grabs the display, 0 where there is none.
func ffmpegOf(display string) int {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(b), "ffmpeg\x00") && strings.Contains(string(b), "\x00"+display+"+0,0\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// The agent and its FFmpeg are killed at any instant; every value of the counter is in a picture or in a declared gap.
func TestKillsLoseNothingOutsideDeclaredGaps(t *testing.T) {
	n := 6
	if os.Getenv("RECFLEET_LONG") == "1" {
		n = 50
	}
	x := desktop.Start(t, 400, 300)
	counter, err := desktop.StartCounter(x, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	p.mustStart()
	st, err := control.Query(t.Context(), p.spool)
	if err != nil {
		t.Fatal(err)
	}
	begun, session, pid := time.Now(), st.SessionID, st.PID
	random := rand.New(rand.NewPCG(3, 4))
	agents := 0
	for range n {
		time.Sleep(time.Duration(random.IntN(1800)) * time.Millisecond)
		if victim := ffmpegOf(x.Display()); random.IntN(3) > 0 && victim != 0 {
			_ = syscall.Kill(victim, syscall.SIGKILL) // it may have just ended
			continue
		}
		agents++
		pid = p.awaitBack(pid, session, p.kill(pid))
	}
	frames := int64(0)
	await(t, func() bool {
		st, err = control.Query(t.Context(), p.spool)
		if frames == 0 {
			frames = st.Frames
		}
		return err == nil && st.Frames > frames+10
	})
	ended := time.Now()
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Fatalf("stop: exit %d, %q", code, errs)
	}
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[0]
	checkWhole(t, s)
	seen, ledger := c.counters(t, s, session), counter.Ledger()
	missing := 0
	for i, e := range ledger[:len(ledger)-1] {
		until := ledger[i+1].Before
		// What was on screen for two intervals must have been taken.
		if e.At.Before(begun) || until.After(ended) || seen[e.Value] || until.Sub(e.At) < 420*time.Millisecond {
			continue
		}
		missing++
		inGap := false
		for _, event := range s.events {
			if g := event.GetGapDeclared(); g != nil {
				inGap = inGap || e.At.Before(g.GetEndTime().AsTime()) && until.After(g.GetStartTime().AsTime())
			}
		}
		if !inGap {
			t.Errorf("counter %d was on screen from %s to %s, is in no picture and in no gap", e.Value, e.At, until)
		}
	}
	var lost, longest time.Duration
	for _, e := range s.events {
		if g := e.GetGapDeclared(); g != nil {
			d := g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime())
			lost, longest = lost+d, max(longest, d)
		}
	}
	t.Logf("%d kills, %d of the agent: %d of %d values in gaps of %s in all, the longest %s", n, agents, missing, len(ledger), lost, longest)
	if limit := time.Second + 2*backWithin; longest > limit {
		t.Errorf("a gap of %s is longer than %s", longest, limit)
	}
}
