package custody

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
)

// VerifySession is Verify of one session: it reads the digests, for what they say of it, and what lies in its folder. What else lies in
// the archive is not judged.
func VerifySession(ctx context.Context, a Archive, id string, cfg Config) (Report, error) {
	w, err := begin(ctx, a, cfg)
	if err != nil {
		return w.report, err
	}
	w.one = true
	w.expect(evidence.Folder)
	if err := w.trust(); err != nil {
		return w.report, err
	}
	said, err := w.days()
	if err != nil {
		return w.report, err
	}
	for _, closed := range said.closed { // what the digests account for is no stranger's
		w.seen[closed.Manifest.Key] = closed.Session != id
	}
	if c, ok := said.closed[id]; ok {
		w.expect(strings.TrimSuffix(c.Manifest.Key, manifest.Name))
	}
	if err := w.sessions(said.only(id)); err != nil {
		return w.report, err
	}
	if err := w.strangersNamed(said, id); err != nil {
		return w.report, err
	}
	if w.report.Sessions+w.report.Deleted == 0 {
		w.problem(Removed, id, "", "no manifest of the session is in the archive, and no digest up to %s speaks of it", w.report.LastDay)
	}
	w.report.Verified = len(w.report.Problems) == 0
	return w.report, nil
}

// only is what is said of one session.
func (t told) only(id string) told {
	return told{
		closed:  filtered(t.closed, id),
		order:   slices.DeleteFunc(slices.Clone(t.order), func(other string) bool { return other != id }),
		deleted: filtered(t.deleted, id),
		amended: filtered(t.amended, id),
	}
}

func filtered[V any](all map[string]V, id string) map[string]V {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(other string, _ V) bool { return other != id })
	return kept
}

// strangersNamed judges the folders of which no digest speaks and whose manifests say that they are the session's.
func (w *walk) strangersNamed(t told, id string) error {
	for _, key := range w.untold() {
		raw, err := w.document(key)
		if err != nil {
			return err
		}
		if m, err := manifest.Parse(raw); err != nil || m.Session.ID != id {
			continue
		}
		w.expect(strings.TrimSuffix(key, manifest.Name))
		if err := w.stranger(t, key, raw); err != nil {
			return err
		}
	}
	return nil
}
