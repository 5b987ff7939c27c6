package verify

import (
	"errors"
	"fmt"

	"github.com/recfleet/recfleet/internal/manifest"
)

// Manifests follows a session's manifests, the first one first. Its zero value is the one to begin with.
type Manifests struct {
	// Last is the last manifest that could be read; zero where there was none.
	Last manifest.Manifest
	// Problems are what is wrong with signatures, or with how the manifests go on from each other.
	Problems []Problem

	number int
	raw    []byte // of Last
}

// Add goes on with the next manifest and its signature as they lie in the archive, empty where they do not; for keys see
// Signed.
func (c *Manifests) Add(raw, signature []byte, keys Keys) {
	c.number++
	name := manifest.NameOf(c.number)
	problem := func(format string, args ...any) {
		detail := fmt.Sprintf(format, args...)
		if c.number > 1 {
			detail = name + ": " + detail
		}
		c.Problems = append(c.Problems, Problem{Kind: Manifest, Detail: detail})
	}
	if len(raw) == 0 {
		problem("there is none in the archive")
		return
	}
	for _, p := range Signed(raw, signature, keys) {
		if c.number > 1 {
			p.Detail = name + ": " + p.Detail
		}
		c.Problems = append(c.Problems, p)
	}
	m, err := manifest.Parse(raw)
	if err != nil {
		problem("%v", err)
		return
	}
	if err := c.follows(m); err != nil {
		problem("%v", err)
	}
	c.Last, c.raw = m, raw
}

// follows returns why a manifest does not go on from the last one.
func (c *Manifests) follows(m manifest.Manifest) error {
	switch {
	case c.number == 1 && m.Addendum != nil:
		return fmt.Errorf("it is number %d and not the first", m.Addendum.Number)
	case c.number == 1:
		return nil
	case c.Last.Format == "":
		return errors.New("the one that it goes on from cannot be read")
	}
	return m.Follows(c.Last, c.raw)
}
