package custody

import (
	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
)

// addenda follows the manifests that go on from a session's first one, whose bytes are raw, and returns the last that can be
// believed. told are those that digests name, by number.
func (w *walk) addenda(id, folder string, last manifest.Manifest, raw []byte, told map[int]evidence.Amended) (manifest.Manifest, error) {
	highest := w.highest(folder)
	for number := range told {
		highest = max(highest, number)
	}
	for number := 2; number <= highest; number++ {
		key := folder + manifest.NameOf(number)
		if _, ok := w.there[key]; !ok {
			w.problem(Removed, id, key, "%s is not in the archive", key)
			w.accountAddenda(folder, number, highest)
			return last, nil
		}
		next, content, err := w.addendum(id, key, told[number])
		if err != nil {
			return last, err
		}
		if content == nil {
			w.accountAddenda(folder, number, highest)
			return last, nil
		}
		if err := next.Follows(last, raw); err != nil {
			w.problem(Manifest, id, key, "%s does not go on from %s: %v", key, manifest.NameOf(number-1), err)
			w.accountAddenda(folder, number, highest)
			return last, nil
		}
		for _, p := range verify.Consistent(next, id) {
			w.problem(p.Kind, id, key, "%s", p.Error())
		}
		last, raw = next, content
	}
	return last, nil
}

// addendum reads one and compares it with what a digest says of it, if one does. Its content is nil where it cannot be believed, which is
// a problem then.
func (w *walk) addendum(id, key string, told evidence.Amended) (m manifest.Manifest, raw []byte, err error) {
	if raw, err = w.document(key); err != nil || raw == nil {
		return m, nil, err
	}
	signed, err := w.signed(raw, key+".sig")
	if err != nil {
		return m, nil, err
	}
	switch {
	case told.Number > 0 && told.Manifest.Key != key:
		w.problem(Digest, id, key, "the digest names %s in its place", told.Manifest.Key)
		return m, nil, nil
	case told.Number > 0:
		if ok, err := w.matches(id, told.Manifest); err != nil || !ok {
			return m, nil, err
		}
	}
	if !signed {
		w.problem(Signature, id, key, "%s is not signed with any of the keys", key)
		return m, nil, nil
	}
	if told.Number == 0 {
		w.note(Added, id, key, "%s is in no digest; one that was written after the last will be in the next", key)
	}
	if m, err = manifest.Parse(raw); err != nil {
		w.problem(Manifest, id, key, "%v", err)
		return m, nil, nil
	}
	return m, raw, nil
}

// highest is the greatest number of the addenda that lie in a folder; 1 where there is none.
func (w *walk) highest(folder string) int {
	highest, count := 1, len(w.under(folder))
	for number := 2; number <= count+1; number++ { // there are no more than there are objects, unless some were removed
		if _, ok := w.there[folder+manifest.NameOf(number)]; ok {
			highest = number
		}
	}
	return highest
}

// accountAddenda passes over the addenda between two numbers: a problem was said of the first of them.
func (w *walk) accountAddenda(folder string, from, to int) {
	for number := from; number <= to; number++ {
		w.seen[folder+manifest.NameOf(number)], w.seen[folder+manifest.SignatureNameOf(number)] = true, true
	}
}
