// Package verify judges whether a session's recordings are what its manifest says, and all of it.
//
// A manifest comes in, with its signature, the catalog's word on the same session and what the objects turned out to be;
// problems go out. What always holds: nothing is taken on trust that can be computed; a session without problems has every
// second in an archived segment or in a gap whose cause is known.
package verify

import (
	"fmt"
	"math"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
)

// Kind says what sort of problem it is; a constant word for scripts.
type Kind string

// The kinds.
const (
	// Signature: the manifest is not signed by the key that it must be signed by.
	Signature Kind = "signature"
	// Manifest: the manifest is absent, malformed or contradicts itself.
	Manifest Kind = "manifest"
	// Catalog: manifest and catalog differ.
	Catalog Kind = "catalog"
	// Coverage: some time is unaccounted for.
	Coverage Kind = "coverage"
	// Continuity: segments or epochs do not follow on each other.
	Continuity Kind = "continuity"
	// Chain: the hash chain does not run on from segment to segment.
	Chain Kind = "chain"
	// Missing: an object is not in the archive.
	Missing Kind = "missing"
	// Altered: an object's size or SHA-256 is another one.
	Altered Kind = "altered"
	// Unreadable: an object could not be read to its end.
	Unreadable Kind = "unreadable"
)

// Problem is something that is not as it must be.
type Problem struct {
	Kind Kind `json:"kind"`
	// Segment is the one that it is about, or 0.
	Segment int    `json:"segment"`
	Detail  string `json:"detail"`
}

// Error describes the problem in one line.
func (p Problem) Error() string {
	if p.Segment > 0 {
		return fmt.Sprintf("%s of segment %d: %s", p.Kind, p.Segment, p.Detail)
	}
	return fmt.Sprintf("%s: %s", p.Kind, p.Detail)
}

// problems collects.
type problems []Problem

func (p *problems) add(kind Kind, segment int, format string, args ...any) {
	*p = append(*p, Problem{kind, segment, fmt.Sprintf(format, args...)})
}

// Consistent returns what is wrong with a manifest by itself: the time that nothing accounts for, what does not follow on
// each other, and sums that are not their parts'.
func Consistent(m manifest.Manifest, session string) []Problem {
	var p problems
	s := m.Session
	if s.ID != session {
		p.add(Manifest, 0, "it is of session %s", s.ID)
	}
	if !s.End.After(s.Start) && len(m.Segments) > 0 {
		p.add(Manifest, 0, "the session ends before it starts")
	}
	if s.FrameRate < 1 || s.FrameRate > 60 {
		p.add(Manifest, 0, "a frame rate of %d is out of bounds", s.FrameRate)
	}
	checkEpochs(m, &p)
	checkSegments(m, &p)
	checkChain(m, &p)
	checkGaps(m, &p)
	checkCoverage(m, &p)
	checkSums(m, &p)
	return p
}

func checkEpochs(m manifest.Manifest, p *problems) {
	for n, e := range m.Epochs {
		if e.Number != n+1 && m.Session.EndedBy == manifest.Agent {
			p.add(Continuity, 0, "epoch %d comes where %d should", e.Number, n+1)
		}
		if n > 0 && e.Start.Before(m.Epochs[n-1].Start) {
			p.add(Continuity, 0, "epoch %d starts before epoch %d", e.Number, m.Epochs[n-1].Number)
		}
	}
}

func checkSegments(m manifest.Manifest, p *problems) {
	tolerance := manifest.Tolerance(m.Session.FrameRate)
	epochs := map[int]manifest.Epoch{}
	for _, e := range m.Epochs {
		epochs[e.Number] = e
	}
	for n, g := range m.Segments {
		if n > 0 {
			before := m.Segments[n-1]
			switch {
			case g.Number <= before.Number:
				p.add(Continuity, g.Number, "it comes after segment %d", before.Number)
			case g.Epoch < before.Epoch:
				p.add(Continuity, g.Number, "epoch %d comes after epoch %d", g.Epoch, before.Epoch)
			case before.End.Sub(g.Start) > tolerance:
				p.add(Continuity, g.Number, "it starts %v before segment %d ends", before.End.Sub(g.Start), before.Number)
			}
		}
		switch e, known := epochs[g.Epoch]; {
		case !known && m.Session.EndedBy == manifest.Agent:
			p.add(Continuity, g.Number, "its epoch %d is not listed", g.Epoch)
		case known && (e.Geometry.Width != g.Width || e.Geometry.Height != g.Height):
			p.add(Continuity, g.Number, "it has %dx%d pixels, its epoch %dx%d", g.Width, g.Height, e.Geometry.Width, e.Geometry.Height)
		}
		switch {
		case !g.End.After(g.Start):
			p.add(Manifest, g.Number, "it ends before it starts")
		case m.Session.Start.Sub(g.Start) > tolerance, g.End.Sub(m.Session.End) > tolerance:
			p.add(Manifest, g.Number, "it lies outside of the session")
		}
		checkObject(g, tolerance, p)
	}
}

// checkObject compares a segment with what the manifest says of its mp4.
func checkObject(g manifest.Segment, tolerance time.Duration, p *problems) {
	o := g.Object
	switch {
	case g.State == manifest.Quarantined && o == nil:
	case g.State != manifest.Archived && g.State != manifest.Quarantined:
		p.add(Manifest, g.Number, "its state is %q", g.State)
	case o == nil:
		p.add(Missing, g.Number, "the manifest names no object")
	case o.Frames < 1 || o.Frames > g.Frames: // fewer where the policy thins them out
		p.add(Manifest, g.Number, "its object has %d frames, it has %d itself", o.Frames, g.Frames)
	case math.Abs(o.DurationSeconds-g.End.Sub(g.Start).Seconds()) > tolerance.Seconds():
		p.add(Coverage, g.Number, "its object lasts %.3f s of %.3f", o.DurationSeconds, g.End.Sub(g.Start).Seconds())
	case o.Width < 1 || o.Height < 1 || o.Width > even(g.Width) || o.Height > even(g.Height): // smaller where the policy scales
		p.add(Manifest, g.Number, "its object has %dx%d pixels, the desktop %dx%d", o.Width, o.Height, g.Width, g.Height)
	}
}

func even(n int) int { return n + n%2 }

// checkChain follows the hash chain. Where segments were sealed for a lost agent it may be interrupted, but only where a gap
// is declared or no time passed.
func checkChain(m manifest.Manifest, p *problems) {
	genesis := chunk.Genesis(m.Session.ID).String()
	if m.Session.ChainStart != genesis {
		p.add(Chain, 0, "it does not start from the session's id")
	}
	before := manifest.Segment{ChainEnd: genesis, End: m.Session.Start, SealedBy: manifest.Agent}
	for _, g := range m.Segments {
		var hash chunk.Hash
		if err := hash.UnmarshalText([]byte(g.ChainEnd)); err != nil {
			p.add(Chain, g.Number, "its end is malformed")
		}
		follows := g.Number == before.Number+1 && g.ChainStart == before.ChainEnd && !g.ChainBroken
		salvaged := m.Session.EndedBy == manifest.Coordinator || g.SealedBy == manifest.Coordinator || before.SealedBy == manifest.Coordinator
		switch {
		case follows:
		case !salvaged && g.Number != before.Number+1:
			p.add(Continuity, g.Number, "segment %d should come before it", before.Number+1)
		case !salvaged && before.Number == 0:
			p.add(Chain, g.Number, "it does not go on from the session's id")
		case !salvaged:
			p.add(Chain, g.Number, "it does not go on from segment %d", before.Number)
		case g.Start.After(before.End) && !declared(m, before.End, g.Start):
			p.add(Chain, g.Number, "it is interrupted before the segment, and no gap is declared there")
		}
		before = g
	}
}

// declared reports whether a gap touches the stretch.
func declared(m manifest.Manifest, from, to time.Time) bool {
	for _, g := range m.Gaps {
		if g.Start.Before(to) && g.End.After(from) {
			return true
		}
	}
	return false
}

func checkGaps(m manifest.Manifest, p *problems) {
	for _, g := range m.Gaps {
		switch {
		case g.End.Before(g.Start):
			p.add(Manifest, 0, "the gap of %s ends before it starts", stamp(g.Start))
		case g.Cause == "" || g.Cause == manifest.CauseUnexplained:
			p.add(Coverage, 0, "%v from %s are not recorded, and nothing explains why", g.End.Sub(g.Start), stamp(g.Start))
		}
	}
}

// checkSums compares the manifest's totals with what they are the totals of.
func checkSums(m manifest.Manifest, p *problems) {
	var recorded, missing time.Duration
	for _, g := range m.Segments {
		if g.State == manifest.Archived {
			recorded += g.End.Sub(g.Start)
		}
	}
	for _, g := range m.Gaps {
		missing += g.End.Sub(g.Start)
	}
	const rounding = 1e-3
	if math.Abs(m.RecordedSeconds-recorded.Seconds()) > rounding {
		p.add(Manifest, 0, "recorded_seconds is %.3f, its segments come to %.3f", m.RecordedSeconds, recorded.Seconds())
	}
	if math.Abs(m.MissingSeconds-missing.Seconds()) > rounding {
		p.add(Manifest, 0, "missing_seconds is %.3f, its gaps come to %.3f", m.MissingSeconds, missing.Seconds())
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
