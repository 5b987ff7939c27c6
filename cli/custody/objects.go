package custody

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

// document reads an object that is there; nil where it cannot be read, which is a problem then.
func (w *walk) document(key string) ([]byte, error) {
	var out bytes.Buffer
	ok, err := w.fetch("", key, &out)
	if err != nil || !ok {
		return nil, err
	}
	return out.Bytes(), nil
}

// fetch reads an object to its end once, and keeps its sum. False where that is a problem, which is noted.
func (w *walk) fetch(session, key string, to io.Writer) (bool, error) {
	w.seen[key] = true
	body, info, err := w.archive.Get(w.ctx, key, 0, -1)
	if errors.Is(err, object.ErrNotFound) {
		w.problem(Removed, session, key, "%s is not in the archive", key)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer body.Close()
	if to != io.Discard && info.Bytes > maxDocument {
		w.problem(Altered, session, key, "%s has %d bytes, which are too many", key, info.Bytes)
		return false, nil
	}
	there := w.there[key]
	there.Version = info.Version
	w.there[key] = there
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, to, &counting{w}), body)
	switch {
	case w.ctx.Err() != nil:
		return false, w.ctx.Err()
	case errors.Is(err, object.ErrDigest):
		w.problem(Altered, session, key, "%s is not what was put there", key)
		return false, nil
	case archiveAway(err):
		w.problem(Unreadable, session, key, "%s cannot be read to its end: %v", key, err)
		return false, nil
	case err != nil:
		return false, err
	}
	w.report.Objects++
	there.Bytes = n
	w.there[key] = there
	w.sums[key] = hex.EncodeToString(sum.Sum(nil))
	return true, nil
}

// counting tells how far it is.
type counting struct{ w *walk }

func (c *counting) Write(b []byte) (int, error) {
	c.w.report.Bytes += int64(len(b))
	if c.w.cfg.Progress != nil {
		c.w.cfg.Progress(c.w.report.Bytes, c.w.whole)
	}
	return len(b), nil
}

// matches reports whether an object is what a signed document says of it. It reads it, unless that was done.
func (w *walk) matches(session string, f evidence.File) (bool, error) {
	if _, read := w.sums[f.Key]; !read {
		if ok, err := w.fetch(session, f.Key, io.Discard); err != nil || !ok {
			return false, err
		}
	}
	there := w.there[f.Key]
	switch {
	case w.sums[f.Key] != f.SHA256:
		w.problem(Altered, session, f.Key, "%s has SHA-256 %s and %d bytes, signed are %s and %d", f.Key, w.sums[f.Key], there.Bytes, f.SHA256, f.Bytes)
		return false, nil
	case there.Bytes != f.Bytes:
		w.problem(Altered, session, f.Key, "%s has %d bytes, signed are %d", f.Key, there.Bytes, f.Bytes)
		return false, nil
	case f.Version != "" && there.Version != "" && there.Version != f.Version:
		w.problem(Added, session, f.Key, "%s has a newer version %s over the one that was signed, %s", f.Key, there.Version, f.Version)
		return false, nil
	}
	return true, nil
}
