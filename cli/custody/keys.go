package custody

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/recfleet/recfleet/internal/evidence"
)

// trust reads the statements by which keys were followed by others, and from now on takes also those to which they lead from the keys that
// were given.
func (w *walk) trust() error {
	var line []evidence.Succession
	for _, key := range w.under(evidence.KeysFolder) {
		raw, err := w.document(key)
		if err != nil {
			return err
		}
		if raw == nil {
			continue
		}
		one, err := evidence.ParseSuccession(raw)
		if err == nil && one.Object() != key {
			err = fmt.Errorf("it is the one of another key, %s", one.Object())
		}
		if err != nil {
			w.problem(Signature, "", key, "%s is no statement of a key: %v", key, err)
			continue
		}
		line = append(line, one)
	}
	given := w.cfg.Keys
	w.cfg.Keys = evidence.Trust(given, line)
	trusted := func(k evidence.PublicKey) bool { return has(w.cfg.Keys, k) }
	for _, one := range line {
		// Those before the keys given are not believed for that, but belong here.
		if !trusted(one.Previous) && !slices.ContainsFunc(evidence.Trust([]ed25519.PublicKey{one.Previous.Ed25519()}, line), func(k ed25519.PublicKey) bool { return has(given, evidence.PublicKeyOf(k)) }) {
			w.problem(Added, "", one.Object(), "%s is of a key that has nothing to do with any of the keys", one.Object())
		}
	}
	return nil
}

func has(keys []ed25519.PublicKey, k evidence.PublicKey) bool {
	return slices.ContainsFunc(keys, func(one ed25519.PublicKey) bool { return evidence.PublicKeyOf(one) == k })
}
