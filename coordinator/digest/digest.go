// Package digest tells, day by day, what there must be in the archive, so that whoever has the archive and the public keys
// finds out what was removed, altered or added since.
//
// What comes in is the catalog: sessions that were closed, recordings that were deleted, and the audit. What goes out to the
// archive, once a day of UTC is over, are its audit records as one file and a signed digest, which names that file, the day's
// sessions with the hashes of their manifests, and the hash of the digest before. What always holds: there is a digest for each
// day since the first of which there is something to tell, also where nothing happened; days that were missed are made up for in
// their order; what a day's digest says is in the catalog before it is in the archive, so that whoever writes it again writes the
// same bytes; nothing is overwritten.
package digest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

const (
	every = time.Minute
	// settle is how long after a day's end it is told of: clocks differ, and what was begun is to be finished.
	settle = 10 * time.Minute
	batch  = 200
	// maxDocument bounds manifests and digests.
	maxDocument = 256 << 20
)

// Archive takes what is told; see object.Store.
type Archive interface {
	Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (object.Info, error)
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, object.Info, error)
	List(ctx context.Context, prefix string) iter.Seq2[object.Info, error]
}

// Config is what the duty needs.
type Config struct {
	Catalog *catalog.Catalog
	Archive Archive
	Keys    *signer.Signer
	Logger  hclog.Logger
	// Now is the clock; the real one where it is nil.
	Now func() time.Time
}

// Digest is the duty.
type Digest struct {
	cfg     Config
	alarmed map[string]bool // sessions whose manifest was said to be wrong; only Step touches it
}

// New returns the duty.
func New(cfg Config) *Digest {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Digest{cfg: cfg, alarmed: map[string]bool{}}
}

// Run repeats Step until ctx is done. One coordinator does it for all.
func (d *Digest) Run(ctx context.Context) error {
	return duty.Duty{Every: every, Step: d.Step, Logger: d.cfg.Logger}.Run(ctx)
}

// Step notes the manifests of sessions that were closed and writes what is due of all days that are over. It is not to be
// called twice at a time.
func (d *Digest) Step(ctx context.Context) error {
	if err := d.noteManifests(ctx); err != nil {
		return err
	}
	for {
		more, err := d.nextDay(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// noteManifests hashes the manifests of sessions that were closed since the last time.
func (d *Digest) noteManifests(ctx context.Context) error {
	unread, err := d.cfg.Catalog.Unread(ctx, batch+len(d.alarmed))
	if err != nil {
		return err
	}
	for _, e := range unread {
		m, err := d.manifest(ctx, e)
		switch {
		case errors.Is(err, object.ErrUnavailable):
			return err
		case err != nil && e.Ordered.Ordered.IsZero() && !d.alarmed[e.Session]:
			d.alarmed[e.Session] = true
			d.cfg.Logger.Error("closed session has no intact manifest", "session_id", e.Session, "error", err)
		case err == nil:
			delete(d.alarmed, e.Session)
			if err := d.cfg.Catalog.NoteManifest(ctx, e.Session, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// errUnsigned says that a manifest does not carry this installation's signature.
var errUnsigned = errors.New("not signed with the manifest key")

// manifest reads and checks one.
func (d *Digest) manifest(ctx context.Context, e catalog.DigestEntry) (catalog.Manifest, error) {
	raw, info, err := d.read(ctx, e.Folder+manifest.Name)
	if err != nil {
		return catalog.Manifest{}, err
	}
	signature, _, err := d.read(ctx, e.Folder+manifest.SignatureName)
	if err != nil {
		return catalog.Manifest{}, err
	}
	if len(signature) != ed25519.SignatureSize {
		return catalog.Manifest{}, errUnsigned
	}
	known, err := d.cfg.Keys.Signed(ctx, d.cfg.Archive, raw, signature)
	if err != nil {
		return catalog.Manifest{}, err
	}
	if !known {
		// One of a key that was changed since stays valid; whoever verifies has all keys.
		d.cfg.Logger.Warn("manifest is signed with a key of no line that leads to the present one", "session_id", e.Session)
	}
	return catalog.Manifest{SHA256: chunk.Sum(raw).String(), Bytes: int64(len(raw)), Version: info.Version}, nil
}

func (d *Digest) read(ctx context.Context, key string) ([]byte, object.Info, error) {
	body, info, err := d.cfg.Archive.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, info, err
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxDocument))
	return raw, info, errors.Join(err, body.Close())
}

// nextDay writes what is due of the first day that is over and not told of; more says that there may be another one.
func (d *Digest) nextDay(ctx context.Context) (more bool, err error) {
	last, found, err := d.cfg.Catalog.LastDigest(ctx)
	if err != nil {
		return false, err
	}
	if found && !last.Written {
		return true, d.write(ctx, last)
	}
	day := last.Day.Next()
	if !found {
		oldest, err := d.cfg.Catalog.Oldest(ctx)
		if err != nil || oldest.IsZero() {
			return false, err
		}
		day = evidence.DayOf(oldest)
	}
	if d.cfg.Now().Before(day.Next().Start().Add(settle)) {
		return false, nil
	}
	return true, d.cfg.Catalog.BeginDigest(ctx, day, last.Number+1, last.Last)
}

// write takes a day that was begun to its end; it may have been done before.
func (d *Digest) write(ctx context.Context, day catalog.DigestDay) error {
	if day.SHA256 == "" {
		audit, err := d.putAudit(ctx, day)
		if err != nil {
			return fmt.Errorf("write audit of %s: %w", day.Day, err)
		}
		content, told, err := d.compose(ctx, day, audit)
		if err != nil {
			return err
		}
		if err := d.cfg.Catalog.SettleDigest(ctx, day.Day, content, told); err != nil {
			return err
		}
		day.Content = content
	}
	if err := d.sign(ctx, day.Day.Key(evidence.SignatureName), day.Content); err != nil {
		return fmt.Errorf("sign digest of %s: %w", day.Day, err)
	}
	if err := d.put(ctx, day.Day.Key(evidence.DigestName), "application/json", day.Content); err != nil {
		return fmt.Errorf("write digest of %s: %w", day.Day, err)
	}
	if err := d.cfg.Catalog.FinishDigest(ctx, day.Day); err != nil {
		return err
	}
	d.cfg.Logger.Info("day told of", "day", day.Day, "number", day.Number, "sha256", chunk.Sum(day.Content).String(), "audit_records", day.Last-day.First+1)
	return nil
}

// compose makes the digest of a day that is over.
func (d *Digest) compose(ctx context.Context, day catalog.DigestDay, audit evidence.AuditFile) ([]byte, []catalog.DigestEntry, error) {
	told, err := d.cfg.Catalog.Untold(ctx, day.Day.Next().Start())
	if err != nil {
		return nil, nil, err
	}
	previous, err := d.cfg.Catalog.DigestSum(ctx, day.Number-1)
	if err != nil {
		return nil, nil, err
	}
	out := evidence.Digest{
		Format: evidence.DigestFormat, Version: evidence.Version, Day: day.Day, Number: day.Number, Previous: previous,
		Closed: []evidence.Closed{}, Deleted: []evidence.Deleted{}, Audit: audit,
	}
	for _, e := range told {
		if e.Deletion {
			out.Deleted = append(out.Deleted, evidence.Deleted{
				Session: e.Session, Folder: e.Folder, Ordered: e.Ordered.Ordered, Done: e.Ordered.Done, By: e.Ordered.By, Reason: e.Ordered.Reason,
			})
			continue
		}
		if n := e.Addendum; n > 0 {
			out.Amended = append(out.Amended, evidence.Amended{
				Session: e.Session, Number: n, Time: e.Time,
				Manifest: evidence.File{Key: e.Folder + manifest.NameOf(n), Version: e.Manifest.Version, Bytes: e.Manifest.Bytes, SHA256: e.Manifest.SHA256},
			})
			continue
		}
		out.Closed = append(out.Closed, evidence.Closed{
			Session: e.Session, State: string(e.State), Time: e.Time,
			Manifest: evidence.File{Key: e.Folder + manifest.Name, Version: e.Manifest.Version, Bytes: e.Manifest.Bytes, SHA256: e.Manifest.SHA256},
		})
	}
	content, err := out.Encode()
	return content, told, err
}

// putAudit writes the audit records of a day by way of a file: there may be very many.
func (d *Digest) putAudit(ctx context.Context, day catalog.DigestDay) (out evidence.AuditFile, err error) {
	f, err := os.CreateTemp("", "recfleet-audit-*")
	if err != nil {
		return out, err
	}
	defer func() { f.Close(); os.Remove(f.Name()) }()
	out.First, out.Last, out.Key = day.First, day.Last, day.Day.Key(evidence.AuditName)
	if out.Previous, err = d.cfg.Catalog.ReadAudit(ctx, day.First, day.First-1, nil); err != nil {
		return out, err
	}
	out.Head = out.Previous
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(f, sum))
	header := evidence.AuditHeader{Format: evidence.AuditFormat, Version: evidence.Version, Day: day.Day, First: day.First, Previous: out.Previous}
	if err := lines.Encode(header); err != nil {
		return out, err
	}
	before := evidence.Record{Number: day.First - 1, Hash: out.Previous}
	if _, err := d.cfg.Catalog.ReadAudit(ctx, day.First, day.Last, func(r catalog.AuditRecord) error {
		if err := r.Follows(before); err != nil {
			d.cfg.Logger.Error("audit is broken", "error", err) // it is told as it is
		}
		before, out.Head = r, r.Hash
		return lines.Encode(r)
	}); err != nil {
		return out, err
	}
	digest := object.Digest(sum.Sum(nil))
	info, err := d.cfg.Archive.Put(ctx, out.Key, f, object.PutOptions{ContentType: "application/x-ndjson", SHA256: digest})
	if err != nil {
		return out, err
	}
	out.Bytes, out.SHA256, out.Version = info.Bytes, digest.String(), info.Version
	return out, nil
}

// sign puts the signature of a digest beside it. One that is there stays, if it is of another key of the line: the key was changed since,
// and the digest is the same.
func (d *Digest) sign(ctx context.Context, key string, content []byte) error {
	signature, err := d.cfg.Keys.Sign(ctx, d.cfg.Archive, content)
	if err != nil {
		return err
	}
	_, err = d.cfg.Archive.Put(ctx, key, bytes.NewReader(signature), object.PutOptions{ContentType: "application/octet-stream", SHA256: sha256.Sum256(signature)})
	if !errors.Is(err, object.ErrExists) {
		return err
	}
	there, _, readErr := d.read(ctx, key)
	if readErr != nil {
		return readErr
	}
	known, signedErr := d.cfg.Keys.Signed(ctx, d.cfg.Archive, content, there)
	if signedErr != nil {
		return signedErr
	}
	if known {
		d.cfg.Logger.Info("digest was signed with another key of the line", "object_key", key)
		return nil
	}
	d.cfg.Logger.Error("foreign object seen in the archive", "object_key", key)
	return err
}

func (d *Digest) put(ctx context.Context, key, contentType string, content []byte) error {
	_, err := d.cfg.Archive.Put(ctx, key, bytes.NewReader(content), object.PutOptions{ContentType: contentType, SHA256: sha256.Sum256(content)})
	if errors.Is(err, object.ErrExists) {
		d.cfg.Logger.Error("foreign object seen in the archive", "object_key", key)
	}
	return err
}

// Heads returns the hash of the last audit record of each day that the archive has a digest of, by the record's number. Digests
// that are signed with no key of the line are passed over.
func (d *Digest) Heads(ctx context.Context) (map[int64]chunk.Hash, error) {
	heads := map[int64]chunk.Hash{}
	for info, err := range d.cfg.Archive.List(ctx, evidence.Folder) {
		if err != nil {
			return nil, err
		}
		if path.Base(info.Key) != evidence.DigestName {
			continue
		}
		raw, _, err := d.read(ctx, info.Key)
		if err != nil {
			return nil, err
		}
		signature, _, err := d.read(ctx, strings.TrimSuffix(info.Key, evidence.DigestName)+evidence.SignatureName)
		if errors.Is(err, object.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		told, err := evidence.ParseDigest(raw)
		if err != nil || told.Audit.Last < 1 {
			continue
		}
		known, err := d.cfg.Keys.Signed(ctx, d.cfg.Archive, raw, signature)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		heads[told.Audit.Last] = told.Audit.Head
	}
	return heads, nil
}
