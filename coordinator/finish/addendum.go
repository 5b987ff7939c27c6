package finish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

// maxManifest bounds what is read of one.
const maxManifest = 256 << 20

var (
	// errHopeless says that trying again soon is of no use.
	errHopeless = errors.New("manifest cannot be amended")
	// errAltered says that a manifest in the archive is not the one that was written there.
	errAltered = fmt.Errorf("%w: it was altered since it was written", errHopeless)
)

// amend tells of segments that were archived after their session was final. What the addendum says is settled in the catalog
// before any of it is in the archive, so that whoever goes on, after a crash or in another coordinator's place, writes the same bytes. Its
// signature is there before itself: whoever sees an addendum can verify it. The end marker stays the first manifest's.
func (f *Finish) amend(ctx context.Context, id string) error {
	d, err := f.catalog.Detail(ctx, id)
	if err != nil {
		return err
	}
	a, err := f.settle(ctx, d)
	if err != nil {
		return err
	}
	told, err := manifest.Parse(a.Content)
	if err != nil {
		return err
	}
	folder := d.Session.ArchivePrefix
	if err := f.sign(ctx, folder+manifest.SignatureNameOf(a.Number), a.Content); err != nil {
		return err
	}
	info, err := f.put(ctx, folder+manifest.NameOf(a.Number), "application/json", a.Content)
	if err != nil {
		return err
	}
	if archived(d) == len(d.Segments) {
		if err := f.bus.DeleteSession(ctx, id); err != nil {
			return err
		}
	}
	if err := f.catalog.FinishAddendum(ctx, a, told, info.Version, time.Now()); err != nil {
		return err
	}
	f.logger.Info("manifest amended", "session_id", id, "number", a.Number, "segments", told.Addendum.Segments, "reason", told.Session.StateReason)
	return nil
}

// settle returns the addendum that is to be written next; it may have been begun before.
func (f *Finish) settle(ctx context.Context, d catalog.Detail) (catalog.Addendum, error) {
	before, err := f.catalog.Addenda(ctx, d.Session.ID)
	if err != nil {
		return catalog.Addendum{}, err
	}
	number, sum := 1, ""
	if n := len(before); n > 0 {
		if before[n-1].Written.IsZero() {
			return before[n-1], nil
		}
		number, sum = before[n-1].Number, before[n-1].SHA256
	} else if sum, err = f.catalog.ManifestSum(ctx, d.Session.ID); err != nil {
		return catalog.Addendum{}, err
	}
	raw, err := f.last(ctx, d.Session.ArchivePrefix, number, sum)
	if err != nil {
		return catalog.Addendum{}, err
	}
	last, err := manifest.Parse(raw)
	if err != nil {
		return catalog.Addendum{}, err
	}
	objects := map[int]manifest.Object{}
	for _, g := range d.Segments {
		if o := segmentOf(g, d.Session.Policy.Encode).Object; o != nil {
			objects[g.Segment] = *o
		}
	}
	next, err := last.Amend(raw, objects)
	if err != nil {
		return catalog.Addendum{}, fmt.Errorf("%w: %w", errHopeless, err)
	}
	content, err := next.Encode()
	if err != nil {
		return catalog.Addendum{}, err
	}
	return f.catalog.SettleAddendum(ctx, d.Session.ID, number+1, content)
}

// last reads the manifest that is to be gone on from. It must be the one whose SHA-256 the catalog has; before the catalog has it,
// one that is signed with the present key or another one of its line.
func (f *Finish) last(ctx context.Context, folder string, number int, sum string) ([]byte, error) {
	key := folder + manifest.NameOf(number)
	raw, err := f.read(ctx, key, maxManifest)
	if err != nil {
		return nil, err
	}
	if sum != "" {
		if chunk.Sum(raw).String() == sum {
			return raw, nil
		}
		return nil, fmt.Errorf("read %s: %w", key, errAltered)
	}
	signature, err := f.read(ctx, folder+manifest.SignatureNameOf(number), ed25519.SignatureSize)
	if err != nil {
		return nil, err
	}
	if known, err := f.keys.Signed(ctx, f.archive, raw, signature); err != nil {
		return nil, err
	} else if !known {
		return nil, fmt.Errorf("read %s: %w", key, errAltered)
	}
	return raw, nil
}

// read returns an object that is at most so large.
func (f *Finish) read(ctx context.Context, key string, most int64) ([]byte, error) {
	body, info, err := f.archive.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(body, most))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if info.Bytes > most {
		return nil, fmt.Errorf("read %s: %d bytes are too many: %w", key, info.Bytes, object.ErrDigest)
	}
	return raw, nil
}

func archived(d catalog.Detail) (n int) {
	for _, s := range d.Segments {
		if s.State == catalog.SegmentArchived {
			n++
		}
	}
	return n
}
