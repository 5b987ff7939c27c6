package custody

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
)

// leftover is the name of an mp4 or its thumbnails. One that no manifest lists is what an encoder put there that had lost its job.
var leftover = regexp.MustCompile(`^video-[0-9]{6}(\.g[0-9]+)?\.(mp4|thumbnails\.jpg|thumbnails\.vtt)$`)

// sessions checks every session that a digest tells of.
func (w *walk) sessions(t told) error {
	for _, id := range t.order {
		c := t.closed[id]
		folder := strings.TrimSuffix(c.Manifest.Key, manifest.Name)
		if gone, ok := t.deleted[id]; ok {
			w.report.Deleted++
			w.leftBehind(id, gone)
			continue
		}
		w.report.Sessions++
		if c.Manifest.SHA256 == "" {
			w.problem(Removed, id, c.Manifest.Key, "its manifest was gone before its digest was written")
			w.account(folder)
			continue
		}
		if err := w.session(id, folder, c.Manifest, c.State, t.amended[id]); err != nil {
			return err
		}
	}
	for id, gone := range t.deleted {
		if _, ok := t.closed[id]; !ok {
			w.report.Deleted++
			w.leftBehind(id, gone)
		}
	}
	return nil
}

// leftBehind checks that nothing of a deleted session is there.
func (w *walk) leftBehind(id string, gone evidence.Deleted) {
	if gone.Folder == "" {
		return
	}
	for _, key := range w.under(gone.Folder) {
		w.seen[key] = true
		w.problem(Added, id, key, "%s is there, though the session was deleted by %s at %s", key, gone.By, gone.Done.UTC().Format("2006-01-02 15:04 MST"))
	}
}

// account passes over a folder that a problem was said of.
func (w *walk) account(folder string) {
	for _, key := range w.under(folder) {
		w.seen[key] = true
	}
}

// session checks one session's folder against its manifests, and those against what was signed.
func (w *walk) session(id, folder string, list evidence.File, state string, amended map[int]evidence.Amended) error {
	if len(w.under(folder)) == 0 {
		w.problem(Removed, id, folder, "everything of the session is gone, and no digest up to %s tells of its deletion", w.report.LastDay)
		return nil
	}
	if _, ok := w.there[list.Key]; !ok {
		w.problem(Removed, id, list.Key, "%s is not in the archive", list.Key)
		w.account(folder)
		return nil
	}
	raw, err := w.document(list.Key)
	if err != nil || raw == nil {
		return err
	}
	if list.SHA256 != "" {
		if ok, err := w.matches(id, list); err != nil || !ok {
			w.account(folder)
			return err
		}
	}
	signed, err := w.signed(raw, folder+manifest.SignatureName)
	if err != nil {
		return err
	}
	if !signed {
		w.problem(Signature, id, list.Key, "%s is not signed with any of the keys", list.Key)
	}
	m, err := manifest.Parse(raw)
	if err != nil {
		w.problem(Manifest, id, list.Key, "%v", err)
		return nil
	}
	for _, p := range verify.Consistent(m, id) {
		w.problem(p.Kind, id, list.Key, "%s", p.Error())
	}
	if state != "" && m.Session.State != state {
		w.problem(Manifest, id, list.Key, "the session is %s, in its digest %s", m.Session.State, state)
	}
	last, err := w.addenda(id, folder, m, raw, amended)
	if err != nil {
		return err
	}
	return w.contents(id, folder, last)
}

// contents reads everything in a session's folder.
func (w *walk) contents(id, folder string, m manifest.Manifest) error {
	for _, d := range m.Documents {
		if path.Base(d.Name) != d.Name {
			w.problem(Manifest, id, folder+manifest.Name, "it names a document outside of its folder")
			continue
		}
		if _, err := w.matches(id, evidence.File{Key: folder + d.Name, Bytes: d.Bytes, SHA256: d.SHA256}); err != nil {
			return err
		}
	}
	if err := w.marker(id, folder, m); err != nil {
		return err
	}
	for _, g := range m.Segments {
		if g.Object == nil {
			continue
		}
		if !strings.HasPrefix(g.Object.Key, folder) {
			w.problem(Manifest, id, folder+manifest.Name, "the object of segment %d lies outside of the session's folder", g.Number)
			continue
		}
		o := g.Object
		if _, err := w.matches(id, evidence.File{Key: o.Key, Version: o.Version, Bytes: o.Bytes, SHA256: o.SHA256}); err != nil {
			return err
		}
		if o.Thumbnails == nil {
			continue
		}
		for _, f := range []manifest.File{o.Thumbnails.Sprite, o.Thumbnails.Index} {
			if !strings.HasPrefix(f.Key, folder) {
				w.problem(Manifest, id, folder+manifest.Name, "the thumbnails of segment %d lie outside of the session's folder", g.Number)
			} else if _, err := w.matches(id, evidence.File{Key: f.Key, Version: f.Version, Bytes: f.Bytes, SHA256: f.SHA256}); err != nil {
				return err
			}
		}
	}
	for _, key := range w.rest(folder) {
		w.seen[key] = true
		switch name := strings.TrimPrefix(key, folder); {
		case name == manifest.MetadataName && len(m.Documents) == 0:
			w.note(Added, id, key, "%s is not in the manifest, which an early version wrote", key)
		case name == manifest.SignatureNameOf(m.Number()+1):
			w.note(Added, id, key, "%s is written before its manifest, which is not there yet", key)
		case leftover.MatchString(name):
			w.note(Added, id, key, "%s is in no manifest: an encoder that had lost its job left it", key)
		default:
			w.problem(Added, id, key, "%s is in no manifest", key)
		}
	}
	return nil
}

// marker checks the end marker of a session that is complete.
func (w *walk) marker(id, folder string, m manifest.Manifest) error {
	key := folder + manifest.MarkerName
	_, there := w.there[key]
	complete := m.Session.State == "complete"
	switch {
	case !there && complete && len(m.Documents) > 0:
		w.problem(Removed, id, key, "%s is not in the archive, though the session is complete", key)
	case there && !complete:
		w.seen[key] = true
		w.problem(Added, id, key, "%s is there, though the session is %s", key, m.Session.State)
	}
	if !there || !complete {
		return nil
	}
	raw, err := w.document(key)
	if err != nil || raw == nil {
		return err
	}
	mark, err := manifest.ParseMarker(raw)
	if err != nil || mark.SessionID != id || mark.ManifestSHA256 != w.sums[folder+manifest.Name] {
		w.problem(Altered, id, key, "%s does not mark the end of this session", key)
	}
	return nil
}

// rest are the objects of a folder that nothing accounts for, in order.
func (w *walk) rest(folder string) (keys []string) {
	for _, key := range w.under(folder) {
		if !w.seen[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// strangers judges what no digest speaks of: sessions that were closed since the last one, sessions that go on, and what was put
// there by somebody else.
func (w *walk) strangers(t told) error {
	for _, key := range w.untold() {
		raw, err := w.document(key)
		if err != nil {
			return err
		}
		if err := w.stranger(t, key, raw); err != nil {
			return err
		}
	}
	folders := map[string]int{}
	for _, key := range w.rest("") {
		if strings.HasPrefix(key, evidence.Folder) {
			if !w.upcoming(key) {
				w.problem(Added, "", key, "%s is no part of any digest", key)
			}
			continue
		}
		if leftover.MatchString(path.Base(key)) {
			folders[path.Dir(key)+"/"]++
			continue
		}
		w.problem(Added, "", key, "%s belongs to no session", key)
	}
	for _, folder := range sorted(folders) {
		w.note(Added, "", folder, "%s holds %d mp4s and thumbnails of a session without a manifest: it goes on, or never ended", folder, folders[folder])
	}
	return nil
}

// untold are the manifests of which no digest speaks, in order.
func (w *walk) untold() (found []string) {
	for _, key := range w.rest("") {
		if path.Base(key) == manifest.Name && !strings.HasPrefix(key, evidence.Folder) {
			found = append(found, key)
		}
	}
	return found
}

// stranger judges a manifest of which no digest speaks, and what lies beside it.
func (w *walk) stranger(t told, key string, raw []byte) error {
	folder := strings.TrimSuffix(key, manifest.Name)
	signed, err := w.signed(raw, folder+manifest.SignatureName)
	if err != nil {
		return err
	}
	m, malformed := manifest.Parse(raw)
	switch {
	case !signed, malformed != nil:
		w.problem(Added, "", key, "%s is no session's that was recorded here: it is not signed with any of the keys", key)
		w.account(folder)
		return nil //nolint:nilerr // a malformed manifest is a finding
	case known(t, m.Session.ID):
		w.problem(Added, m.Session.ID, key, "%s is a second folder of a session", key)
		w.account(folder)
		return nil
	}
	w.note(Added, m.Session.ID, key, "the session is in no digest; one that was closed after the last will be in the next")
	w.report.Sessions++
	return w.session(m.Session.ID, folder, evidence.File{Key: key}, "", t.amended[m.Session.ID])
}

// upcoming reports whether a file is one that is written before its day's digest.
func (w *walk) upcoming(key string) bool {
	next := w.report.LastDay.Next()
	if w.report.LastDay == "" || key != next.Key(evidence.AuditName) && key != next.Key(evidence.SignatureName) {
		return false
	}
	w.note(Added, "", key, "%s is written before the digest of %s, which is not there yet", key, next)
	return true
}

func known(t told, id string) bool {
	_, closed := t.closed[id]
	_, deleted := t.deleted[id]
	return closed || deleted
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
