// Package custody verifies an archive by itself: a bucket or directory and public keys come in, everything that was removed,
// altered or added since it was written goes out. No coordinator is asked.
//
// What always holds: nothing is taken on trust but the keys; whatever lies below the archive's root is accounted for, as a problem
// or as a note where it is nothing that a digest speaks of yet; an archive without problems and notes holds what its coordinators
// signed, all of it, up to the last digest.
package custody

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

// Archive is what is looked at; see object.Store.
type Archive interface {
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, object.Info, error)
	List(ctx context.Context, prefix string) iter.Seq2[object.Info, error]
}

// Kind says what sort of problem it is; a constant word for scripts. Those of verify.Kind come as well.
type Kind = verify.Kind

// The kinds.
const (
	// Removed: what a digest or manifest names is not there, and no digest tells of its deletion.
	Removed Kind = "removed"
	// Altered: what is there is not what was signed.
	Altered = verify.Altered
	// Added: nothing that was signed accounts for it.
	Added Kind = "added"
	// Digest: the chain of daily digests is broken, or does not reach far enough.
	Digest Kind = "digest"
	// Signature: it is not signed with any of the keys.
	Signature = verify.Signature
	// Audit: a day's audit records are not those that were written.
	Audit Kind = "audit"
	// Unreadable: it could not be read to its end.
	Unreadable = verify.Unreadable
	// Manifest: a manifest is malformed or contradicts itself.
	Manifest = verify.Manifest
)

// Problem is something that is not as it must be.
type Problem struct {
	Kind    Kind   `json:"kind"`
	Session string `json:"session,omitempty"`
	Key     string `json:"key,omitempty"` // of the object that it is about
	Detail  string `json:"detail"`
}

// Error describes the problem in one line.
func (p Problem) Error() string {
	about := string(p.Kind)
	if p.Session != "" {
		about += " in session " + p.Session
	}
	return about + ": " + p.Detail
}

// Report is what was found.
type Report struct {
	Verified bool         `json:"verified"`
	Days     int          `json:"days"`
	FirstDay evidence.Day `json:"first_day"`
	LastDay  evidence.Day `json:"last_day"`
	// LastDigest is the SHA-256 of the last day's digest. Whoever keeps it sees later whether the days up to there were made anew.
	LastDigest   string `json:"last_digest"`
	AuditRecords int64  `json:"audit_records"`
	AuditHash    string `json:"audit_hash"`
	Sessions     int    `json:"sessions"`
	Deleted      int    `json:"deleted_sessions"`
	Objects      int    `json:"objects"`
	Bytes        int64  `json:"bytes"` // read
	// Problems are what makes the archive not verified. Notes are what no digest can speak of yet, or need not.
	Problems []Problem `json:"problems"`
	Notes    []Problem `json:"notes"`
}

// Config says how to verify.
type Config struct {
	// Keys are trusted, and those to which statements in the archive lead from them.
	Keys []ed25519.PublicKey
	// Until is the last day that there must be a digest of; "" for none.
	Until evidence.Day
	// Pinned are SHA-256 sums of digests that were kept elsewhere.
	Pinned map[evidence.Day]string
	// Settled makes problems of what no digest speaks of yet: the archive is a copy of a past state.
	Settled bool
	// Progress is called with the bytes that are read and those that there are.
	Progress func(done, whole int64)
}

// walk is one verification.
type walk struct {
	ctx     context.Context //nolint:containedctx // it lives within one call
	archive Archive
	cfg     Config
	one     bool // one session is asked for, which may be of the first day
	report  Report
	there   map[string]object.Info // all objects, by key
	keys    []string               // theirs, sorted
	seen    map[string]bool        // those that something accounts for
	whole   int64
	sums    map[string]string // of what was read, by key
}

// maxDocument bounds what is held in memory of one object.
const maxDocument = 256 << 20

// begin lists the archive.
func begin(ctx context.Context, a Archive, cfg Config) (*walk, error) {
	w := &walk{ctx: ctx, archive: a, cfg: cfg, there: map[string]object.Info{}, seen: map[string]bool{}, sums: map[string]string{}}
	w.report.Problems, w.report.Notes = []Problem{}, []Problem{}
	for info, err := range a.List(ctx, "") {
		if err != nil {
			return w, fmt.Errorf("list archive: %w", err)
		}
		w.there[info.Key] = info
	}
	w.keys = sorted(w.there)
	return w, nil
}

// Verify reads the whole archive. The error is for what keeps it from judging: the archive cannot be reached.
func Verify(ctx context.Context, a Archive, cfg Config) (Report, error) {
	w, err := begin(ctx, a, cfg)
	if err != nil {
		return w.report, err
	}
	w.expect("")
	if err := w.trust(); err != nil {
		return w.report, err
	}
	told, err := w.days()
	if err != nil {
		return w.report, err
	}
	if err := w.sessions(told); err != nil {
		return w.report, err
	}
	if err := w.strangers(told); err != nil {
		return w.report, err
	}
	w.report.Verified = len(w.report.Problems) == 0
	return w.report, nil
}

func (w *walk) problem(kind Kind, session, key, format string, args ...any) {
	w.report.Problems = append(w.report.Problems, Problem{kind, session, key, fmt.Sprintf(format, args...)})
}

// note is a problem of an archive that is settled.
func (w *walk) note(kind Kind, session, key, format string, args ...any) {
	if w.cfg.Settled {
		w.problem(kind, session, key, format, args...)
		return
	}
	w.report.Notes = append(w.report.Notes, Problem{kind, session, key, fmt.Sprintf(format, args...)})
}

// expect adds what lies under a prefix to what is to be read.
func (w *walk) expect(prefix string) {
	for _, key := range w.under(prefix) {
		w.whole += w.there[key].Bytes
	}
}

// under are the keys that begin with a prefix, in order.
func (w *walk) under(prefix string) []string {
	from, _ := slices.BinarySearch(w.keys, prefix)
	to := from
	for to < len(w.keys) && strings.HasPrefix(w.keys[to], prefix) {
		to++
	}
	return w.keys[from:to]
}

// told is what the digests say.
type told struct {
	closed  map[string]evidence.Closed // by session
	order   []string
	deleted map[string]evidence.Deleted
	amended map[string]map[int]evidence.Amended // by session and number
}

// days follows the digests and the audit through all days.
func (w *walk) days() (told, error) {
	out := told{closed: map[string]evidence.Closed{}, deleted: map[string]evidence.Deleted{}, amended: map[string]map[int]evidence.Amended{}}
	var before evidence.Digest
	sum := ""
	for _, key := range w.under(evidence.Folder) {
		if path.Base(key) != evidence.DigestName {
			continue
		}
		raw, err := w.document(key)
		if err != nil {
			return out, err
		}
		d, err := evidence.ParseDigest(raw)
		if err != nil || d.Day.Key(evidence.DigestName) != key {
			w.problem(Digest, "", key, "%s is not the digest of its day", key)
			continue
		}
		signed, err := w.signed(raw, d.Day.Key(evidence.SignatureName))
		if err != nil {
			return out, err
		}
		if !signed {
			w.problem(Signature, "", key, "the digest of %s is not signed with any of the keys", d.Day)
			continue
		}
		w.link(before, sum, d)
		sum = w.sums[key]
		if pin, ok := w.cfg.Pinned[d.Day]; ok && !strings.EqualFold(pin, sum) {
			w.problem(Digest, "", key, "the digest of %s has SHA-256 %s and not the one that was kept", d.Day, sum)
		}
		if err := w.audit(before, d); err != nil {
			return out, err
		}
		for _, c := range d.Closed {
			if _, twice := out.closed[c.Session]; twice {
				w.problem(Digest, c.Session, key, "the digest of %s closes the session again", d.Day)
				continue
			}
			out.closed[c.Session] = c
			out.order = append(out.order, c.Session)
		}
		for _, a := range d.Amended {
			if out.amended[a.Session] == nil {
				out.amended[a.Session] = map[int]evidence.Amended{}
			}
			if _, twice := out.amended[a.Session][a.Number]; twice {
				w.problem(Digest, a.Session, key, "the digest of %s tells of %s again", d.Day, manifest.NameOf(a.Number))
				continue
			}
			out.amended[a.Session][a.Number] = a
		}
		for _, gone := range d.Deleted {
			out.deleted[gone.Session] = gone
		}
		before = d
		w.report.Days++
		if w.report.FirstDay == "" {
			w.report.FirstDay = d.Day
		}
	}
	w.report.LastDay, w.report.LastDigest = before.Day, sum
	w.report.AuditRecords, w.report.AuditHash = before.Audit.Last, before.Audit.Head.String()
	w.ends(before)
	return out, nil
}

// link checks that a digest goes on from the one before.
func (w *walk) link(before evidence.Digest, sum string, d evidence.Digest) {
	key := d.Day.Key(evidence.DigestName)
	switch {
	case before.Number == 0 && d.Number != 1:
		w.problem(Removed, "", key, "the digests before %s, which is number %d, are not there", d.Day, d.Number)
	case before.Number == 0:
	case d.Day != before.Day.Next():
		w.problem(Removed, "", before.Day.Next().Key(evidence.DigestName), "the digests between %s and %s are not there", before.Day, d.Day)
	case d.Number != before.Number+1 || d.Previous != sum:
		w.problem(Digest, "", key, "the digest of %s does not go on from the one of %s", d.Day, before.Day)
	}
}

// ends checks that the digests reach far enough.
func (w *walk) ends(last evidence.Digest) {
	if last.Number == 0 {
		if w.one && len(w.under(evidence.Folder)) == len(w.under(evidence.KeysFolder)) {
			w.note(Digest, "", evidence.Folder, "there is no digest yet: the session is judged by its manifest alone")
			return
		}
		w.problem(Removed, "", evidence.Folder, "there is no digest that can be believed")
		return
	}
	if w.cfg.Until > last.Day {
		w.problem(Removed, "", last.Day.Next().Key(evidence.DigestName), "the digests after %s are not there; there should be those up to %s", last.Day, w.cfg.Until)
	}
	for day := range w.cfg.Pinned {
		if _, ok := w.there[day.Key(evidence.DigestName)]; !ok {
			w.problem(Removed, "", day.Key(evidence.DigestName), "the digest of %s, which was kept, is not there", day)
		}
	}
}

// audit checks the audit file that a digest names.
func (w *walk) audit(before, d evidence.Digest) error {
	file := d.Audit
	if before.Number > 0 && (file.First != before.Audit.Last+1 || file.Previous != before.Audit.Head) {
		w.problem(Audit, "", file.Key, "the records of %s do not go on from those of %s", d.Day, before.Day)
	}
	if before.Number == 0 && d.Number == 1 && file.First != 1 {
		w.problem(Audit, "", file.Key, "the records of %s begin with number %d", d.Day, file.First)
	}
	ok, err := w.matches("", file.File)
	if err != nil || !ok {
		return err
	}
	body, _, err := w.archive.Get(w.ctx, file.Key, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	h, last, err := evidence.ReadAudit(body, nil)
	if err != nil {
		w.problem(Audit, "", file.Key, "audit of %s: %v", d.Day, err)
		return nil
	}
	if h.Day != d.Day || h.First != file.First || h.Previous != file.Previous || last.Number != file.Last || last.Hash != file.Head {
		w.problem(Audit, "", file.Key, "the records of %s are not those that its digest names", d.Day)
	}
	return nil
}

// signed reports whether the signature under a key is one of the keys' over these bytes.
func (w *walk) signed(raw []byte, key string) (bool, error) {
	if _, ok := w.there[key]; !ok {
		return false, nil
	}
	signature, err := w.document(key)
	if err != nil || len(signature) != ed25519.SignatureSize {
		return false, err
	}
	return evidence.SignedBy(w.cfg.Keys, raw, signature) != nil, nil
}

// archiveAway reports whether the archive is at fault.
func archiveAway(err error) bool { return errors.Is(err, object.ErrUnavailable) }
