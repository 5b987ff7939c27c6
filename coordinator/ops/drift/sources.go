package drift

import (
	"context"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/object"
)

// settled is how old a session is whose stream must exist: the session is made before its stream.
const settled = time.Minute

// Audit looks at the broker; see bus.Audit.
type Audit interface {
	Find(ctx context.Context, sessions map[string]bool) ([]bus.Deviation, error)
}

// Catalog tells which sessions are not over; see catalog.Catalog.
type Catalog interface {
	Unfinished(ctx context.Context) ([]catalog.Session, error)
}

// Broker is the source for the broker's servers, its account, and the streams of sessions that are not over.
func Broker(a Audit, c Catalog) Source {
	return Source{Name: "the broker", Find: func(ctx context.Context) ([]Finding, error) {
		sessions, err := live(ctx, c)
		if err != nil {
			return nil, err
		}
		deviations, err := a.Find(ctx, sessions)
		if err != nil || len(deviations) == 0 {
			return nil, err
		}
		// A session that ended meanwhile, or is being finished, has its stream taken from it in order.
		still, err := live(ctx, c)
		if err != nil {
			return nil, err
		}
		var found []Finding
		for _, d := range deviations {
			if must, ok := still[d.Session]; d.Session != "" && (!ok || d.Missing && !must) {
				continue
			}
			found = append(found, finding(d))
		}
		return found, nil
	}}
}

// live returns the sessions that are not over, with true for those that must have a stream.
func live(ctx context.Context, c Catalog) (map[string]bool, error) {
	sessions, err := c.Unfinished(ctx)
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	out := make(map[string]bool, len(sessions))
	for _, s := range sessions {
		out[s.ID] = s.State.Capturing() && time.Since(s.Created) > settled
	}
	return out, nil
}

func finding(d bus.Deviation) Finding {
	f := Finding{Part: PartBroker, Of: d.Server, Setting: d.Setting, Want: d.Want, Have: d.Have}
	if d.Session != "" {
		f.Part, f.Of = PartStream, d.Session
	}
	return f
}

// Archive is the source for the archive.
func Archive(s object.Store) Source {
	return Source{Name: "the archive", Find: func(ctx context.Context) ([]Finding, error) {
		deviations, err := object.Audit(ctx, s)
		if err != nil {
			return nil, err
		}
		var found []Finding
		for _, d := range deviations {
			found = append(found, Finding{Part: PartArchive, Setting: d.Setting, Want: d.Want, Have: d.Have})
		}
		return found, nil
	}}
}
