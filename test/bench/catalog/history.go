package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

const (
	users       = 20_000
	fleets      = 60
	stacks      = 20
	departments = 40
	teams       = 800
	years       = 2
	months      = 12 * years
	segments    = 2 // on average
	batch       = 10_000
)

// history is what a fleet did until now. The same number of sessions is the same history but for the time of day at which
// it ends.
type history struct {
	count    int
	from, to time.Time
	zipf     *rand.Zipf
	random   *rand.Rand
}

func newHistory(count int) *history {
	to := time.Date(2026, 9, 3, 12, 12, 0, 0, time.UTC)
	random := rand.New(rand.NewPCG(1, uint64(count)))
	return &history{count: count, from: to.AddDate(-years, 0, 0), to: to, random: random, zipf: rand.NewZipf(random, 1.05, 50, users-1)}
}

// start is when the nth session began: evenly over the years, with jitter.
func (h *history) start(n int) time.Time {
	step := h.to.Sub(h.from) / time.Duration(h.count)
	return h.from.Add(time.Duration(n)*step + rand.N(step))
}

func user(n uint64) string       { return fmt.Sprintf("user%05d@example.com", n) }
func fleet(n int) string         { return fmt.Sprintf("fleet-%02d", n) }
func stack(n int) string         { return fmt.Sprintf("stack-%02d", n) }
func stackOf(fleet int) int      { return fleet % stacks }
func department(n uint64) string { return fmt.Sprintf("dept-%02d", n) }
func team(n uint64) string       { return fmt.Sprintf("team-%03d", n) }

// groupsOf are those of a user: everybody's, one of a department and one of a few colleagues.
func groupsOf(user uint64) []string {
	return []string{department(user % departments), "staff", team(user % teams)}
}
func image(fleet, month int) string {
	return fmt.Sprintf("arn:aws:appstream:eu-central-1:123456789012:image/desk%d-build%d", fleet%6, month)
}

// fill adds all sessions.
func (h *history) fill(add func([]catalog.Detail) error) error {
	var some []catalog.Detail
	for n := range h.count {
		some = append(some, h.session(n))
		if len(some) == batch || n == h.count-1 {
			if err := add(some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return nil
}

func (h *history) session(n int) catalog.Detail {
	r := h.random
	start := h.start(n)
	f := r.IntN(fleets)
	who := h.zipf.Uint64()
	s := catalog.Session{
		ID: fmt.Sprintf("s%06dx%012x", n, r.Uint64()>>16), RequestID: fmt.Sprintf("%016x%x", r.Uint64(), n), State: catalog.SessionComplete,
		User: user(who), Groups: groupsOf(who), Stack: stack(stackOf(f)), Fleet: fleet(f), Instance: fmt.Sprintf("i-%017x", r.Uint64()),
		Metadata: map[string]string{
			"AppStream_Image_Arn": image(f, n*months/h.count), "AppStream_Instance_Type": fmt.Sprintf("stream.standard.%s", pick(r, "small", "medium", "large", "xlarge")),
			"AppStream_UserName": user(who), "AppStream_Session_ID": fmt.Sprintf("%08x-%04x", r.Uint32(), r.Uint32()>>16),
			"AppStream_Resource_Name": fleet(f), "AppStream_User_Access_Mode": pick(r, "SAML", "USERPOOL", "CUSTOM"), "region": pick(r, "eu-central-1", "us-east-1", "ap-southeast-2"),
			"department": fmt.Sprintf("dept%02d", who%departments), "case": fmt.Sprintf("case-%06d", r.IntN(h.count/3+1)), "client": "Windows client 1.1." + fmt.Sprint(900+n*300/h.count),
		},
		AgentVersion: "1.0", ArchivePrefix: fmt.Sprintf("%s/%06d/", start.Format(time.DateOnly), n), FrameRate: 5, SegmentLength: 5 * time.Minute,
		SegmentBytes: 512 << 20, Start: start, Created: start, EndedBy: catalog.PartyAgent, EndReason: "session ended",
	}
	switch k := r.IntN(1000); {
	case k < 20:
		s.State, s.StateReason = catalog.SessionInterrupted, "the agent was not heard of for 15m0s"
	case k < 30:
		s.State = catalog.SessionEmpty
	}
	length := time.Duration(r.ExpFloat64() * float64(2*time.Hour))
	if k := r.IntN(1000); k == 0 {
		length += 72 * time.Hour
	}
	if s.End = start.Add(length); s.End.After(h.to) {
		s.End, s.State = time.Time{}, catalog.SessionRecording
	}
	d := catalog.Detail{Session: s}
	for number := range r.IntN(2*segments + 1) {
		from := start.Add(time.Duration(number) * 5 * time.Minute)
		hash := chunk.Sum(fmt.Appendf(nil, "%d.%d", n, number))
		d.Segments = append(d.Segments, catalog.Segment{
			Session: s.ID, State: catalog.SegmentArchived, SealedBy: catalog.PartyAgent, Purged: true,
			Seal: catalog.Seal{
				Segment: number + 1, Epoch: 1, Start: from, End: from.Add(5 * time.Minute), Width: 1920, Height: 1080, Frames: 1500, Chunks: 300, Bytes: 20 << 20,
				ChainStart: hash, ChainEnd: hash,
			},
			Recording: catalog.Recording{
				ObjectKey: fmt.Sprintf("%svideo-%06d.mp4", s.ArchivePrefix, number+1), Bytes: 3 << 20, SHA256: hash, Width: 1920, Height: 1080,
				Frames: 1500, Duration: 5 * time.Minute, Codec: "libx264", FFmpegVersion: "5.1.9", EncoderVersion: "1.0", EncoderID: "encoder",
			},
		})
	}
	if r.IntN(3) == 0 {
		d.Gaps = append(d.Gaps, catalog.Gap{Start: start, End: start.Add(time.Second), Cause: "capture_starting"})
	}
	return d
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }
