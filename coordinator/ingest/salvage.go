package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/coverage"
	"github.com/recfleet/recfleet/internal/chunk"
)

const (
	maxSide    = 8192
	maxSegment = 24 * time.Hour
)

// Salvage seals, on behalf of an agent that is lost, what the bus holds of a session: every segment that is there wholly as
// the agent sealed it, and of the others the longest beginning with a valid chain and at least one frame. Where the end of a
// segment that nobody sealed never came, the next one is sealed with a broken chain before it. Segments that are recorded
// stay as they are. What cannot be sealed is logged; what it held is missing from the recording.
func (i *Ingest) Salvage(ctx context.Context, session catalog.Session) error {
	held, err := i.bus.Segments(ctx, session.ID)
	if err != nil {
		return fmt.Errorf("salvage session %s: %w", session.ID, err)
	}
	found, err := i.salvageable(ctx, session, held)
	if err != nil {
		return fmt.Errorf("salvage session %s: %w", session.ID, err)
	}
	joinUp(found, session.FrameRate)
	for _, seal := range found {
		s := catalog.Segment{Session: session.ID, Seal: seal, SealedBy: catalog.PartyCoordinator}
		if err := i.record(ctx, s); err != nil {
			return fmt.Errorf("salvage session %s: %w", session.ID, err)
		}
	}
	return nil
}

// salvageable returns seals for all segments on the bus that are not recorded, by number.
func (i *Ingest) salvageable(ctx context.Context, session catalog.Session, held map[int]int) ([]catalog.Seal, error) {
	var found []catalog.Seal
	last := 0
	for n := range held {
		last = max(last, n)
	}
	before := link{chunk.Genesis(session.ID), proved}
	for n := 1; n <= last; n++ {
		announced, err := i.catalog.Seal(ctx, session.ID, n)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return nil, err
		}
		sealed := err == nil
		recorded, err := i.catalog.Segment(ctx, session.ID, n)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			before = link{recorded.ChainEnd, assumed}
			if sealed {
				before = link{announced.ChainEnd, proved}
			}
			continue
		}
		if sealed {
			before = link{announced.ChainStart, proved}
		}
		headers, err := i.bus.Headers(ctx, session.ID, n)
		if err != nil {
			return nil, err
		}
		seal, ok := i.sealFrom(session, n, headers, before)
		if sealed {
			if missing, err := verify(announced, headers); err == nil && len(missing) == 0 {
				seal, ok = announced, true
			}
		}
		if ok {
			found = append(found, seal)
		} else if len(headers) > 0 {
			i.logger.Error("segment could not be sealed for its agent", "session_id", session.ID, "segment", n, "chunks", len(headers))
		}
		switch {
		case sealed:
			before = link{announced.ChainEnd, proved}
		case ok:
			before = link{seal.ChainEnd, assumed}
		default:
			before = link{}
		}
	}
	return found, nil
}

// link is the chain hash before a segment, as far as it is known.
type link struct {
	chain chunk.Hash
	trust trust
}

// trust is how far a link is known.
type trust int

const (
	unknown trust = iota // nothing of the segment before is there
	assumed              // the end of what is there of the segment before, which may have gone on
	proved               // as the agent announced it
)

// sealFrom makes a seal from the longest valid beginning of a segment. The headers are an agent's word: what does not make
// sense in them is no segment. One that does not follow on a proved link is a forgery; one that does not follow on another
// was cut off from the one before.
func (i *Ingest) sealFrom(session catalog.Session, n int, headers []chunk.Chunk, before link) (catalog.Seal, bool) {
	var valid []chunk.Chunk
	if before.trust > unknown {
		valid = prefix(before.chain, headers)
	}
	if len(valid) == 0 && before.trust < proved {
		before.chain = chunk.Hash{}
		valid = unproved(headers)
	}
	if len(valid) < len(headers) {
		i.logger.Error("chunks beyond the valid beginning were left out", "session_id", session.ID, "segment", n, "chunks", len(headers)-len(valid))
	}
	if len(valid) == 0 {
		return catalog.Seal{}, false
	}
	last := valid[len(valid)-1]
	if last.Frames < 1 || last.Epoch < 1 || last.Width < 1 || last.Width > maxSide || last.Height < 1 || last.Height > maxSide ||
		last.Start.IsZero() || last.LastFrame.Before(last.Start) || last.LastFrame.Sub(last.Start) > maxSegment {
		return catalog.Seal{}, false
	}
	seal := catalog.Seal{
		Segment: n, Epoch: last.Epoch, Start: last.Start, End: last.LastFrame.Add(interval(session.FrameRate)),
		Width: last.Width, Height: last.Height, Frames: last.Frames, Chunks: len(valid), Bytes: last.Offset + int64(last.Bytes),
		ChainStart: before.chain, ChainEnd: last.Chain,
	}
	if seal.ChainBroken() {
		i.logger.Error("hash chain broken", "session_id", session.ID, "segment", n)
	}
	return seal, true
}

// joinUp makes a segment end where the next one begins if there is no gap between them. Before a broken chain something is
// missing, however short.
func joinUp(seals []catalog.Seal, frameRate int) {
	for n := range seals[:max(len(seals)-1, 0)] {
		next := seals[n+1]
		hole := next.Start.Sub(seals[n].End) + interval(frameRate) // since the last frame
		if next.Segment == seals[n].Segment+1 && !next.ChainBroken() && hole > 0 && hole <= coverage.Tolerance(frameRate) {
			seals[n].End = next.Start
		}
	}
}

func interval(frameRate int) time.Duration { return time.Second / time.Duration(max(frameRate, 1)) }

// End returns when the last segment of a session ends, or start where there is none.
func End(segments []catalog.Segment, start time.Time) time.Time {
	if len(segments) == 0 {
		return start
	}
	return slices.MaxFunc(segments, func(a, b catalog.Segment) int { return a.End.Compare(b.End) }).End
}
