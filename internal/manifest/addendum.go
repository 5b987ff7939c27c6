package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Addendum says which manifest one goes on from, and what has changed since: segments that could not be encoded then have been.
type Addendum struct {
	Number   int      `json:"number"`   // from 2 on; the first manifest has none
	Previous Document `json:"previous"` // the manifest before, as it lies in the same folder
	Segments []int    `json:"segments"` // quarantined in the one before, archived in this one
}

// NameOf is the name of a session's nth manifest: manifest.json, manifest-0002.json and so on.
func NameOf(number int) string {
	if number < 2 {
		return Name
	}
	return fmt.Sprintf("manifest-%04d.json", number)
}

// SignatureNameOf is the name of the signature of a session's nth manifest. It is written before the manifest, except of the first.
func SignatureNameOf(number int) string { return NameOf(number) + ".sig" }

// Number is which of its session's manifests it is, from 1 on.
func (m Manifest) Number() int {
	if m.Addendum == nil {
		return 1
	}
	return m.Addendum.Number
}

// DocumentOf names a manifest by its bytes.
func DocumentOf(number int, raw []byte) Document {
	sum := sha256.Sum256(raw)
	return Document{Name: NameOf(number), Bytes: int64(len(raw)), SHA256: hex.EncodeToString(sum[:])}
}

// Amend returns the manifest that goes on from m, whose bytes are raw: the segments that are quarantined in m and archived now
// have their objects, and are no gaps any more. All else stays as it is in m. It is an error where there is nothing to amend.
func (m Manifest) Amend(raw []byte, archived map[int]Object) (Manifest, error) {
	next := m
	next.Segments, next.Gaps = slices.Clone(m.Segments), slices.Clone(m.Gaps)
	next.Addendum = &Addendum{Number: m.Number() + 1, Previous: DocumentOf(m.Number(), raw)}
	for i := range next.Segments {
		g := &next.Segments[i]
		o, ok := archived[g.Number]
		if !ok || g.State != Quarantined {
			continue
		}
		g.State, g.Quarantine, g.Object = Archived, "", &o
		next.Addendum.Segments = append(next.Addendum.Segments, g.Number)
		next.Gaps = slices.DeleteFunc(next.Gaps, func(gap Gap) bool {
			return gap.Cause == CauseQuarantined && gap.Start.Equal(g.Start) && gap.End.Equal(g.End)
		})
	}
	if len(next.Addendum.Segments) == 0 {
		return Manifest{}, errors.New("amend manifest: no segment that it has as quarantined was archived")
	}
	left := 0
	next.RecordedSeconds, next.MissingSeconds = 0, 0
	for _, g := range next.Segments {
		switch g.State {
		case Archived:
			next.RecordedSeconds += g.End.Sub(g.Start).Seconds()
		case Quarantined:
			left++
		}
	}
	for _, g := range next.Gaps {
		next.MissingSeconds += g.End.Sub(g.Start).Seconds()
	}
	next.Session.StateReason = Reason(m.Session.StateReason, left, len(next.Segments))
	return next, nil
}

var quarantineReason = regexp.MustCompile(`(?:^|; )\d+ of \d+ segments quarantined$`)

// Reason says why a session ended as it did, and how many of its segments are quarantined. What the reason said of that before
// is replaced.
func Reason(reason string, quarantined, segments int) string {
	reason = quarantineReason.ReplaceAllString(reason, "")
	if quarantined == 0 {
		return reason
	}
	if reason != "" {
		reason += "; "
	}
	return reason + fmt.Sprintf("%d of %d segments quarantined", quarantined, segments)
}

// Follows returns why a manifest is not the one that goes on from before, whose bytes are raw; nil where it is. Nothing may have
// changed but what its addendum says.
func (m Manifest) Follows(before Manifest, raw []byte) error {
	a := m.Addendum
	switch {
	case a == nil:
		return errors.New("it does not say which manifest it goes on from")
	case a.Number != before.Number()+1:
		return fmt.Errorf("it says that it is number %d and not %d", a.Number, before.Number()+1)
	case a.Previous != DocumentOf(before.Number(), raw):
		return fmt.Errorf("it goes on from %s with SHA-256 %s, and not from the one that is there", a.Previous.Name, a.Previous.SHA256)
	}
	archived := map[int]Object{}
	for _, g := range m.Segments {
		if g.Object != nil && slices.Contains(a.Segments, g.Number) {
			archived[g.Number] = *g.Object
		}
	}
	want, err := before.Amend(raw, archived)
	if err != nil {
		return errors.New("none of its segments was quarantined before")
	}
	expected, expectedErr := want.Encode()
	got, err := m.Encode()
	if err := errors.Join(expectedErr, err); err != nil {
		return err
	}
	if !bytes.Equal(expected, got) {
		return errors.New("it changes more than the segments that it says were archived since")
	}
	return nil
}
