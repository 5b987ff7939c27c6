package digest_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/digest"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

type fixture struct {
	catalog *catalog.Catalog
	archive object.Store
	key     ed25519.PrivateKey
	now     time.Time
	keys    *signer.Signer // that of key where it is nil
	*digest.Digest
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	c, err := catalog.Open(t.Context(), dir+"/catalog.db")
	if err != nil {
		t.Fatal(err)
	}
	location, err := object.ParseLocation("file://" + dir + "/archive")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(c.Close(), archive.Close()) })
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{catalog: c, archive: archive, key: key, now: time.Now()}
	f.Digest = f.coordinator(archive)
	return f
}

// coordinator is one of several.
func (f *fixture) coordinator(archive digest.Archive) *digest.Digest {
	keys := f.keys
	if keys == nil {
		keys = signer.New(f.key)
	}
	return digest.New(digest.Config{
		Catalog: f.catalog, Archive: archive, Keys: keys,
		Logger: hclog.NewNullLogger(), Now: func() time.Time { return f.now },
	})
}

// closed makes a session that is over, with a signed manifest.
func (f *fixture) closed(t *testing.T, id string) {
	t.Helper()
	ctx, now := t.Context(), f.now
	_, _, err := f.catalog.CreateSession(ctx, catalog.Session{
		ID: id, RequestID: id, ArchivePrefix: id + "/", FrameRate: 5, Start: now, Created: now, LastSegment: catalog.Unknown,
	})
	err = errors.Join(err, f.catalog.LoseSession(ctx, id, now, "silent"), f.catalog.CloseLost(ctx, id, now, nil), f.catalog.FinishSession(ctx, id, catalog.SessionEmpty, ""))
	content := []byte("manifest of " + id)
	for name, raw := range map[string][]byte{"manifest.json": content, "manifest.json.sig": ed25519.Sign(f.key, content)} {
		_, putErr := f.archive.Put(ctx, id+"/"+name, bytes.NewReader(raw), object.PutOptions{})
		err = errors.Join(err, putErr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) note(t *testing.T, object string) evidence.Record {
	t.Helper()
	r, err := f.catalog.AppendAudit(t.Context(), catalog.AuditRecord{Time: f.now, Who: "ann", Action: "session.view", Object: object, Result: "ok"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *fixture) step(t *testing.T) {
	t.Helper()
	if err := f.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) read(t *testing.T, key string) []byte {
	t.Helper()
	body, _, err := f.archive.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// told reads and checks the digest of a day.
func (f *fixture) told(t *testing.T, day evidence.Day) (evidence.Digest, []byte) {
	t.Helper()
	raw := f.read(t, day.Key(evidence.DigestName))
	if !ed25519.Verify(f.key.Public().(ed25519.PublicKey), raw, f.read(t, day.Key(evidence.SignatureName))) {
		t.Errorf("%s is not signed", day)
	}
	d, err := evidence.ParseDigest(raw)
	if err != nil || d.Day != day {
		t.Fatal(d.Day, err)
	}
	audit := f.read(t, day.Key(evidence.AuditName))
	h, last, err := evidence.ReadAudit(bytes.NewReader(audit), nil)
	if err != nil || h.First != d.Audit.First || last.Number != d.Audit.Last || last.Hash != d.Audit.Head || chunk.Sum(audit).String() != d.Audit.SHA256 || int64(len(audit)) != d.Audit.Bytes {
		t.Errorf("audit of %s: %+v, %+v, %v", day, h, last, err)
	}
	return d, raw
}

func TestDaysAreToldOfInAChain(t *testing.T) {
	f := newFixture(t)
	f.step(t) // nothing to tell of
	first := evidence.DayOf(f.now)
	f.closed(t, "a")
	f.closed(t, "b")
	f.note(t, "a")
	last := f.note(t, "b")
	f.step(t)
	f.now = first.Next().Start().Add(9 * time.Minute)
	f.step(t)
	if _, err := f.archive.Stat(t.Context(), first.Key(evidence.DigestName)); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("told of before its time: %v", err)
	}
	f.now = f.now.Add(time.Minute)
	f.step(t)
	d, raw := f.told(t, first)
	if d.Number != 1 || d.Previous != "" || len(d.Closed) != 2 || len(d.Deleted) != 0 || d.Audit.First != 1 || d.Audit.Last != 2 || d.Audit.Head != last.Hash {
		t.Errorf("%+v", d)
	}
	if c := d.Closed[0]; c.Session != "a" || c.State != "empty" || c.Manifest.Key != "a/manifest.json" || c.Manifest.SHA256 != chunk.Sum([]byte("manifest of a")).String() || c.Manifest.Bytes != 13 {
		t.Errorf("%+v", c)
	}

	// Three days without a coordinator, on the last of which recordings are deleted; the days between have nothing.
	f.now = first.Next().Start().AddDate(0, 0, 2).Add(time.Hour)
	at := f.now
	if err := errors.Join(f.catalog.OrderDeletion(t.Context(), "a", catalog.Deletion{Ordered: at, By: "ann", Reason: "case 7"}), f.catalog.FinishDeletion(t.Context(), "a", at)); err != nil {
		t.Fatal(err)
	}
	f.note(t, "c")
	f.now = at.AddDate(0, 0, 1)
	f.step(t)
	previous := raw
	for n, day := int64(2), first.Next(); n <= 4; n, day = n+1, day.Next() {
		d, raw := f.told(t, day)
		if d.Number != n || d.Previous != chunk.Sum(previous).String() || len(d.Closed) != 0 || n < 4 && (len(d.Deleted) != 0 || d.Audit.Last != 2) {
			t.Errorf("%+v", d)
		}
		if n == 4 && (len(d.Deleted) != 1 || d.Deleted[0].Session != "a" || d.Deleted[0].By != "ann" || d.Deleted[0].Reason != "case 7" || d.Audit.Last != 3) {
			t.Errorf("%+v", d)
		}
		previous = raw
	}
	heads, err := f.Heads(t.Context())
	if err != nil || len(heads) != 2 || heads[2] != last.Hash {
		t.Errorf("%v, %v", heads, err)
	}
	if _, err := f.catalog.VerifyAuditAgainst(t.Context(), heads); err != nil {
		t.Error(err)
	}
	heads[3] = chunk.Hash{1}
	if _, err := f.catalog.VerifyAuditAgainst(t.Context(), heads); !errors.Is(err, catalog.ErrAudit) {
		t.Errorf("another chain than the archive's: %v", err)
	}
	if _, err := f.catalog.VerifyAuditAgainst(t.Context(), map[int64]chunk.Hash{9: {}}); !errors.Is(err, catalog.ErrAudit) {
		t.Errorf("a shorter chain than the archive's: %v", err)
	}
}

// away is an archive that fails after some puts.
type away struct {
	object.Store
	puts int
}

func (a *away) Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (object.Info, error) {
	if a.puts--; a.puts < 0 {
		return object.Info{}, object.ErrUnavailable
	}
	return a.Store.Put(ctx, key, body, opts)
}

// Whatever is written late by a clock that lags, and wherever a coordinator dies: the day's files are those that were settled.
func TestADayIsWrittenTheSameHoweverOftenItIsBegun(t *testing.T) {
	for puts := range 4 {
		f := newFixture(t)
		day := evidence.DayOf(f.now)
		f.closed(t, "a")
		f.note(t, "a")
		f.step(t)
		morning := f.now
		f.now = day.Next().Start().Add(time.Hour)
		dying := f.coordinator(&away{Store: f.archive, puts: puts})
		if err := dying.Step(t.Context()); (err == nil) != (puts == 3) {
			t.Fatalf("%d puts: %v", puts, err)
		}
		settledBefore := puts > 0 // its digest was
		evening := f.now
		f.now = morning
		f.closed(t, "late")
		f.note(t, "late")
		f.now = evening
		f.step(t)
		d, _ := f.told(t, day)
		if d.Audit.Last != 1 || settledBefore != (len(d.Closed) == 1) {
			t.Errorf("%d puts: %d records, %d sessions", puts, d.Audit.Last, len(d.Closed))
		}
		// What came late is told of the next day.
		f.now = f.now.AddDate(0, 0, 1)
		f.step(t)
		next, _ := f.told(t, day.Next())
		if next.Audit.First != 2 || next.Audit.Last != 2 || len(d.Closed)+len(next.Closed) != 2 {
			t.Errorf("%d puts, next day: %+v", puts, next)
		}
	}
}

func TestAForeignDigestIsNotTaken(t *testing.T) {
	f := newFixture(t)
	f.note(t, "a")
	day := evidence.DayOf(f.now)
	if _, err := f.archive.Put(t.Context(), day.Key(evidence.DigestName), strings.NewReader("{}"), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.AddDate(0, 0, 2)
	if err := f.Step(t.Context()); !errors.Is(err, object.ErrExists) {
		t.Errorf("%v", err)
	}
}

// A session whose manifest went before it was read is told of, without a hash.
func TestARemovedManifestIsToldOf(t *testing.T) {
	f := newFixture(t)
	f.closed(t, "a")
	if err := f.archive.Delete(t.Context(), "a/manifest.json"); err != nil {
		t.Fatal(err)
	}
	day := evidence.DayOf(f.now)
	f.now = f.now.AddDate(0, 0, 2)
	f.step(t)
	if d, _ := f.told(t, day); len(d.Closed) != 1 || d.Closed[0].Manifest.SHA256 != "" {
		t.Errorf("%+v", d)
	}
}

// The chain goes on over a change of the key; each digest is signed with the key of its time.
func TestTheChainGoesOnUnderAnotherKey(t *testing.T) {
	f := newFixture(t)
	day := evidence.DayOf(f.now)
	f.note(t, "a")
	f.now = day.Next().Start().Add(time.Hour)
	f.step(t)
	_, raw := f.told(t, day)
	var err error
	if _, f.key, err = ed25519.GenerateKey(nil); err != nil {
		t.Fatal(err)
	}
	f.Digest = f.coordinator(f.archive)
	f.now = f.now.AddDate(0, 0, 1)
	f.step(t)
	if d, _ := f.told(t, day.Next()); d.Number != 2 || d.Previous != chunk.Sum(raw).String() {
		t.Errorf("%+v", d)
	}
}

// A day whose signature was written before the key was changed, and its digest not, is gone on with, also by a coordinator that knows
// nothing of the change yet; a key that nobody signed is refused.
func TestADayIsNotStuckOverAChangeOfTheKey(t *testing.T) {
	f := newFixture(t)
	_, next, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := signer.New(f.key)
	after := signer.New(next, evidence.NewSuccession(f.key, next.Public().(ed25519.PublicKey), f.now))
	day := evidence.DayOf(f.now)
	f.closed(t, "a")
	f.note(t, "a")
	f.now = day.Next().Start().Add(time.Hour)
	die := func(keys *signer.Signer, puts int) {
		t.Helper()
		f.keys = keys
		if err := f.coordinator(&away{Store: f.archive, puts: puts}).Step(t.Context()); !errors.Is(err, object.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	die(before, 2) // the audit file and the signature
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f.keys = signer.New(foreign)
	if err := f.coordinator(f.archive).Step(t.Context()); !errors.Is(err, object.ErrExists) {
		t.Errorf("a key that nobody signed: %v", err)
	}
	f.keys = after
	f.Digest = f.coordinator(f.archive)
	f.step(t)
	if d, _ := f.told(t, day); len(d.Closed) != 1 || d.Closed[0].Manifest.SHA256 == "" {
		t.Errorf("%+v", d)
	}
	heads, err := f.Heads(t.Context())
	if err != nil || len(heads) != 1 {
		t.Errorf("%v, %v", heads, err)
	}

	f.now = f.now.AddDate(0, 0, 1)
	die(after, 2)
	f.keys = signer.New(f.key)
	f.Digest = f.coordinator(f.archive)
	f.step(t)
	f.key = next
	f.told(t, day.Next())
}
