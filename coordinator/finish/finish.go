// Package finish completes sessions.
//
// What comes in is a session whose books are closed and whose segments are all archived or quarantined. What goes out to
// the archive is metadata.json, about the desktop, events.ndjson, what happened on it, manifest.json, which lists every segment with its hash and every gap
// with its cause, the manifest's signature, and last, of a session that is complete and of no other, the end marker complete.json.
// What always holds: a session is final only when all of them are in the archive;
// what is written depends on what does not change any more, so that whoever writes it writes the same bytes; every stretch of a final session
// is in an archived segment or in a gap; a session with a quarantined segment keeps its chunks on the bus. Where such a segment is
// encoded after all, another manifest goes on from the last one, see addendum.go; nothing is overwritten.
package finish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/coverage"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

const (
	every = time.Second
	// pause is how long a session is left alone that could not be finished.
	pause = 5 * time.Second
	// longPause is the same where that is of no use.
	longPause = 10 * time.Minute
)

// Causes of the gaps that are declared here.
const (
	causeUnexplained = manifest.CauseUnexplained
	causeStarting    = "capture_starting"
	causeQuarantined = manifest.CauseQuarantined
	causeNothing     = "nothing_recorded"
)

// Bus holds the streams of sessions; see bus.Broker.
type Bus interface {
	DeleteSession(ctx context.Context, session string) error
}

// Archive takes what belongs to a session; see object.Store.
type Archive interface {
	Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (object.Info, error)
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, object.Info, error)
}

// Finish is the duty.
type Finish struct {
	// Due says that a session may be ready.
	Due duty.Signal

	catalog *catalog.Catalog
	bus     Bus
	archive Archive
	keys    *signer.Signer
	logger  hclog.Logger
	resting map[string]time.Time // sessions to leave alone until then; only Step touches it
}

// New returns the duty; it has manifests signed.
func New(c *catalog.Catalog, bus Bus, archive Archive, keys *signer.Signer, logger hclog.Logger) *Finish {
	return &Finish{Due: duty.NewSignal(), catalog: c, bus: bus, archive: archive, keys: keys, logger: logger, resting: map[string]time.Time{}}
}

// Run repeats Step until ctx is done.
func (f *Finish) Run(ctx context.Context) error {
	return duty.Duty{Every: every, Signal: f.Due, Step: f.Step, Logger: f.logger}.Run(ctx)
}

// Step finishes every session that is ready, and amends the manifests of those of which a segment was archived since. It is
// not to be called twice at a time.
func (f *Finish) Step(ctx context.Context) error {
	ready, err := f.catalog.Finishable(ctx)
	if err != nil {
		return err
	}
	failed := f.each(ctx, "finish", ready, f.finish)
	amendable, err := f.catalog.Amendable(ctx)
	return errors.Join(failed, err, f.each(ctx, "amend", amendable, f.amend))
}

// each does one thing to sessions, but not to those that are to be left alone.
func (f *Finish) each(ctx context.Context, what string, ids []string, do func(context.Context, string) error) (failed error) {
	for _, id := range ids {
		if time.Now().Before(f.resting[id]) {
			continue
		}
		delete(f.resting, id)
		if err := do(ctx, id); err != nil {
			f.resting[id] = time.Now().Add(pause)
			if errors.Is(err, errHopeless) {
				f.resting[id] = time.Now().Add(longPause)
			}
			failed = errors.Join(failed, fmt.Errorf("%s session %s: %w", what, id, err))
		}
	}
	return failed
}

// finish takes one session through its last steps. Each of them may be done again: what is written depends on the catalog
// alone, so that a second run writes the same bytes.
func (f *Finish) finish(ctx context.Context, id string) error {
	d, err := f.catalog.Detail(ctx, id)
	if err != nil {
		return err
	}
	if found := f.unaccounted(d); len(found) > 0 {
		if err := f.catalog.AddGaps(ctx, id, found); err != nil {
			return err
		}
		if d, err = f.catalog.Detail(ctx, id); err != nil {
			return err
		}
	}
	state, reason := outcome(d)
	if err := f.archiveDocuments(ctx, d, state, reason); err != nil {
		return err
	}
	if quarantined(d) == 0 {
		if err := f.bus.DeleteSession(ctx, id); err != nil {
			return err
		}
	}
	if err := f.catalog.FinishSession(ctx, id, state, reason); err != nil {
		return err
	}
	f.logger.Info("session finished", "session_id", id, "state", state, "reason", reason, "segments", len(d.Segments), "gaps", len(d.Gaps))
	return nil
}

// unaccounted returns gaps for every stretch of a session that is neither in a segment nor in a gap.
func (f *Finish) unaccounted(d catalog.Detail) []catalog.Gap {
	var found []catalog.Gap
	if len(d.Segments) == 0 {
		for _, h := range coverage.Holes(d, d.Session.Start, d.Session.End) {
			found = append(found, catalog.Gap{Start: h.Start, End: h.End, Cause: causeNothing})
		}
		return found
	}
	withQuarantine := d
	for _, s := range d.Segments {
		if s.State == catalog.SegmentQuarantined {
			g := catalog.Gap{
				Start: s.Start, End: s.End, Cause: causeQuarantined,
				Detail: fmt.Sprintf("segment %d could not be encoded (%s); its chunks are kept on the bus", s.Segment, s.QuarantineCause),
			}
			found = append(found, g)
			withQuarantine.Gaps = append(withQuarantine.Gaps[:len(withQuarantine.Gaps):len(withQuarantine.Gaps)], g)
		}
	}
	for _, h := range coverage.Holes(withQuarantine, d.Session.Start, d.Session.End) {
		g := catalog.Gap{Start: h.Start, End: h.End, Cause: causeUnexplained}
		if h.Start.Equal(d.Session.Start) && h.After == d.Segments[0].Segment {
			g.Cause = causeStarting
		} else {
			f.logger.Error("unexplained gap found", "session_id", d.Session.ID, "start", h.Start, "end", h.End, "after_segment", h.Before)
		}
		found = append(found, g)
	}
	return found
}

// outcome returns the state in which a session ends, and why.
func outcome(d catalog.Detail) (catalog.SessionState, string) {
	reason := manifest.Reason(d.Session.StateReason, quarantined(d), len(d.Segments))
	switch {
	case len(d.Segments) == 0:
		if reason == "" {
			reason = "nothing was captured"
		}
		return catalog.SessionEmpty, reason
	case d.Session.EndedBy == catalog.PartyCoordinator:
		return catalog.SessionInterrupted, reason
	}
	return catalog.SessionComplete, reason
}

func quarantined(d catalog.Detail) (n int) {
	for _, s := range d.Segments {
		if s.State == catalog.SegmentQuarantined {
			n++
		}
	}
	return n
}

// archiveDocuments puts what is told of a session beside its mp4s.
func (f *Finish) archiveDocuments(ctx context.Context, d catalog.Detail, state catalog.SessionState, reason string) error {
	about, err := encode(metadataOf(d))
	if err != nil {
		return fmt.Errorf("write %s: %w", manifest.MetadataName, err)
	}
	m := manifestOf(d, state, reason)
	happened, err := f.events(ctx, d.Session.ID)
	if err != nil {
		return err
	}
	m.Documents = []manifest.Document{documentOf(manifest.MetadataName, about), documentOf(manifest.EventsName, happened)}
	list, err := m.Encode()
	if err != nil {
		return err
	}
	folder := d.Session.ArchivePrefix
	if _, err := f.put(ctx, folder+manifest.MetadataName, "application/json", about); err != nil {
		return err
	}
	if _, err := f.put(ctx, folder+manifest.EventsName, "application/x-ndjson", happened); err != nil {
		return err
	}
	if _, err := f.put(ctx, folder+manifest.Name, "application/json", list); err != nil {
		return err
	}
	if err := f.sign(ctx, folder+manifest.SignatureName, list); err != nil || state != catalog.SessionComplete {
		return err
	}
	sum := sha256.Sum256(list)
	marker, err := manifest.NewMarker(d.Session.ID, len(list), hex.EncodeToString(sum[:])).Encode()
	if err != nil {
		return err
	}
	_, err = f.put(ctx, folder+manifest.MarkerName, "application/json", marker)
	return err
}

func documentOf(name string, content []byte) manifest.Document {
	sum := sha256.Sum256(content)
	return manifest.Document{Name: name, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

func (f *Finish) put(ctx context.Context, key, contentType string, content []byte) (object.Info, error) {
	info, err := f.archive.Put(ctx, key, bytes.NewReader(content), object.PutOptions{ContentType: contentType, SHA256: sha256.Sum256(content)})
	if errors.Is(err, object.ErrExists) {
		f.logger.Error("foreign object seen in the archive", "object_key", key)
	}
	return info, err
}
