package coordinator_test

import (
	"bytes"
	"crypto/ed25519"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/recfleet/recfleet/cli"
	"github.com/recfleet/recfleet/cli/custody"
	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/evidence"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// proof is an archive that a coordinator made over two days, with what an investigator has of it.
type proof struct {
	*world
	archive, keys   string
	day, next       evidence.Day
	now             time.Time // when it is verified
	kept, kept2     *agent
	deleted, living *agent
}

func newProof(t *testing.T) *proof {
	t.Helper()
	return newProofOver(t, func(*proof) {})
}

// newProofOver is newProof where something is done while the coordinator is stopped, after the sessions and before the digests.
func newProofOver(t *testing.T, between func(*proof)) *proof {
	t.Helper()
	w := newWorld(t, coordinator.Config{SegmentLength: 20 * time.Second})
	p := &proof{world: w, archive: filepath.Join(w.dir, "archive"), keys: filepath.Join(w.dir, "keys"), day: evidence.DayOf(time.Now())}
	e := newEncoder(w)
	for _, a := range []**agent{&p.kept, &p.kept2, &p.deleted} {
		*a = newAgent(w)
		(*a).segment(10)
		(*a).segment(10)
		(*a).end(40 * time.Second)
		e.work(2)
		w.await((*a).session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	}
	sessions := recfleetv1.NewSessionServiceClient(w.admin)
	if _, err := sessions.DeleteSession(t.Context(), &recfleetv1.DeleteSessionRequest{SessionId: p.deleted.session, Reason: "case 7"}); err != nil {
		t.Fatal(err)
	}
	w.until("deletion", func() bool { return w.session(p.deleted.session).GetDeleteTime() != nil })
	w.until("empty folder", func() bool {
		_, err := os.Stat(filepath.Join(p.archive, p.deleted.prefix, "manifest.json"))
		return os.IsNotExist(err) && strings.Contains(w.log.String(), "session deleted")
	})
	p.living = newAgent(w)
	p.living.segment(10)
	e.work(1)

	// Two days later.
	w.stop()
	between(p)
	p.next = p.day.Next()
	p.now = p.next.Next().Start().Add(time.Hour)
	w.settings.Now = func() time.Time { return p.now }
	w.start()
	w.until("second digest", func() bool {
		_, err := os.Stat(filepath.Join(p.archive, p.next.Key(evidence.DigestName)))
		return err == nil && strings.Count(w.log.String(), "day told of") == 2
	})
	key, err := signer.Open(filepath.Join(w.dir, "manifest.key"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(p.keys, []byte(hex.EncodeToString(key.Public())))
	return p
}

// sign is what the coordinator's key makes of the bytes.
func (p *proof) sign(raw []byte) []byte {
	p.t.Helper()
	var signature []byte
	keys, err := signer.Open(filepath.Join(p.dir, "manifest.key"))
	if err == nil {
		signature, err = keys.Sign(p.t.Context(), p.store, raw)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return signature
}

func (p *proof) write(path string, content []byte) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proof) read(path string) []byte {
	p.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

// verify runs recctl on an archive, without a coordinator.
func (p *proof) verify(archive string, more ...string) (int, custody.Report, string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	exit := cli.Program{
		Args:   append([]string{"archive", "verify", "--archive", "file://" + archive, "--keys", p.keys, "-o", "json"}, more...),
		Getenv: func(string) string { return "" }, Stdout: &stdout, Stderr: &stderr, Now: func() time.Time { return p.now }, Zone: time.UTC,
	}.Run(p.t.Context())
	var r custody.Report
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			p.t.Fatalf("%v\n%s", err, stdout.String())
		}
	}
	return exit, r, stderr.String()
}

// Whatever is done to an archive is found out by whoever has the archive and the public keys.
func TestTamperingWithTheArchiveIsFoundOut(t *testing.T) {
	p := newProof(t)
	p.stop() // nobody is asked
	exit, r, stderr := p.verify(p.archive)
	if exit != 0 || !r.Verified || r.Days != 2 || r.Sessions != 2 || r.Deleted != 1 || r.AuditRecords < 1 || len(r.Problems) > 0 || len(r.Notes) != 1 || r.LastDay != p.next {
		t.Fatalf("exit %d, %s, %+v", exit, stderr, r)
	}
	if exit, r, _ := p.verify(p.archive, "--settled"); exit != 1 || len(r.Problems) != 1 || r.Problems[0].Kind != custody.Added {
		t.Errorf("a session that goes on in a settled archive: exit %d, %+v", exit, r.Problems)
	}
	if exit, r, _ := p.verify(p.archive, "--digest", string(p.next)+"="+r.LastDigest); exit != 0 {
		t.Errorf("pinned: exit %d, %+v", exit, r.Problems)
	}
	if exit, r, _ := p.verify(p.archive, "--digest", string(p.day)+"="+r.LastDigest); exit != 1 || r.Problems[0].Kind != custody.Digest {
		t.Errorf("pinned otherwise: exit %d, %+v", exit, r.Problems)
	}
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tamper func(at func(key string) string)
		kind   custody.Kind
		about  string // in the first problem
	}{
		"a session's folder is removed": {func(at func(string) string) { os.RemoveAll(at(p.kept.prefix)) }, custody.Removed, p.kept.session},
		"an mp4 is removed":             {func(at func(string) string) { os.Remove(at(p.kept.prefix + "video-000002.mp4")) }, custody.Removed, "video-000002.mp4"},
		"an mp4 is altered": {func(at func(string) string) {
			p.flip(at(p.kept.prefix + "video-000001.mp4"))
		}, custody.Altered, "video-000001.mp4"},
		"an mp4 is altered, and what the directory knows of it removed": {func(at func(string) string) {
			p.flip(at(p.kept.prefix + "video-000001.mp4"))
			os.RemoveAll(at(".recfleet"))
		}, custody.Altered, "video-000001.mp4"},
		"an mp4 is cut": {func(at func(string) string) {
			if err := os.Truncate(at(p.kept.prefix+"video-000001.mp4"), 1000); err != nil {
				t.Error(err)
			}
			os.RemoveAll(at(".recfleet"))
		}, custody.Altered, "video-000001.mp4"},
		"two manifests are swapped": {func(at func(string) string) {
			for _, name := range []string{"manifest.json", "manifest.json.sig"} {
				one, two := p.read(at(p.kept.prefix+name)), p.read(at(p.kept2.prefix+name))
				p.write(at(p.kept.prefix+name), two)
				p.write(at(p.kept2.prefix+name), one)
			}
			os.RemoveAll(at(".recfleet"))
		}, custody.Altered, "manifest.json"},
		"a manifest is removed":     {func(at func(string) string) { os.Remove(at(p.kept.prefix + "manifest.json")) }, custody.Removed, "manifest.json"},
		"a signature is removed":    {func(at func(string) string) { os.Remove(at(p.kept.prefix + "manifest.json.sig")) }, custody.Signature, "manifest.json"},
		"the end marker is removed": {func(at func(string) string) { os.Remove(at(p.kept.prefix + "complete.json")) }, custody.Removed, "complete.json"},
		"the metadata are altered": {func(at func(string) string) {
			p.replace(at(p.kept.prefix+"metadata.json"), "ann@example.org", "bob@example.org")
			os.RemoveAll(at(".recfleet"))
		}, custody.Altered, "metadata.json"},
		"the first digest is removed": {func(at func(string) string) { os.Remove(at(p.day.Key(evidence.DigestName))) }, custody.Removed, "digests before"},
		"the last day is cut":         {func(at func(string) string) { os.RemoveAll(filepath.Dir(at(p.next.Key("x")))) }, custody.Removed, "digests after"},
		"all evidence is removed":     {func(at func(string) string) { os.RemoveAll(at("evidence")) }, custody.Removed, "no digest"},
		"a session is taken out of a digest": {func(at func(string) string) {
			p.replace(at(p.day.Key(evidence.DigestName)), p.kept.session, p.kept2.session)
			os.RemoveAll(at(".recfleet"))
		}, custody.Signature, "digest of"},
		"a digest is made anew with another key": {func(at func(string) string) {
			key := at(p.day.Key(evidence.DigestName))
			p.replace(key, p.kept.session, p.kept2.session)
			p.write(at(p.day.Key(evidence.SignatureName)), ed25519.Sign(foreign, p.read(key)))
			os.RemoveAll(at(".recfleet"))
		}, custody.Signature, "digest of"},
		"an audit record is edited": {func(at func(string) string) {
			p.replace(at(p.day.Key(evidence.AuditName)), "case 7", "case 8")
			os.RemoveAll(at(".recfleet"))
		}, custody.Altered, "audit.ndjson"},
		"an audit file is removed": {func(at func(string) string) { os.Remove(at(p.day.Key(evidence.AuditName))) }, custody.Removed, "audit.ndjson"},
		"a foreign session is added": {func(at func(string) string) {
			raw := bytes.ReplaceAll(p.read(at(p.kept.prefix+"manifest.json")), []byte(p.kept.session), []byte("foreign"))
			p.write(at("f-1/foreign/manifest.json"), raw)
			p.write(at("f-1/foreign/manifest.json.sig"), ed25519.Sign(foreign, raw))
		}, custody.Added, "f-1/foreign/"},
		"a session is added a second time": {func(at func(string) string) {
			if err := os.CopyFS(at("f-1/again"), os.DirFS(at(p.kept.prefix))); err != nil {
				t.Error(err)
			}
		}, custody.Added, "second folder"},
		"a deleted session comes back": {func(at func(string) string) { p.write(at(p.deleted.prefix+"video-000001.mp4"), []byte("x")) }, custody.Added, "was deleted by admin"},
		"a file is added to a session": {func(at func(string) string) { p.write(at(p.kept.prefix+"other.txt"), []byte("x")) }, custody.Added, "other.txt"},
		"a file is added elsewhere":    {func(at func(string) string) { p.write(at("other.txt"), []byte("x")) }, custody.Added, "other.txt"},
		"a digest is added": {func(at func(string) string) {
			p.write(at(p.next.Next().Key(evidence.DigestName)), p.read(at(p.next.Key(evidence.DigestName))))
		}, custody.Digest, "not the digest of its day"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "archive")
			if err := os.CopyFS(copied, os.DirFS(p.archive)); err != nil {
				t.Fatal(err)
			}
			test.tamper(func(key string) string { return filepath.Join(copied, filepath.FromSlash(key)) })
			exit, r, stderr := p.verify(copied)
			if exit != 1 || r.Verified || len(r.Problems) == 0 {
				t.Fatalf("was not found out: exit %d, %s", exit, stderr)
			}
			if got := r.Problems[0]; got.Kind != test.kind || !strings.Contains(got.Error(), test.about) {
				t.Errorf("found as %+v", r.Problems)
			}
		})
	}
	p.keys = filepath.Join(p.dir, "other keys")
	p.write(p.keys, []byte(hex.EncodeToString(foreign.Public().(ed25519.PublicKey))))
	if exit, r, _ := p.verify(p.archive); exit != 1 || r.Problems[0].Kind != custody.Signature {
		t.Errorf("with another key: exit %d, %+v", exit, r.Problems)
	}
	for want, args := range map[int][]string{5: {"--archive", "file:///nowhere/to/be/found"}, 2: {"--until", "soon"}} {
		if exit, _, stderr := p.verify(p.archive, args...); exit != want || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %s", args, exit, stderr)
		}
	}
}

func (p *proof) flip(path string) {
	raw := p.read(path)
	raw[len(raw)/2] ^= 1
	p.write(path, raw)
}

func (p *proof) replace(path, from, to string) {
	p.t.Helper()
	raw := p.read(path)
	if !bytes.Contains(raw, []byte(from)) {
		p.t.Errorf("%s holds no %s", path, from)
	}
	p.write(path, bytes.ReplaceAll(raw, []byte(from), []byte(to)))
}

// Who rewrites the catalog's audit and its whole chain is found out by the archive's daily files.
func TestARewrittenAuditIsFoundOut(t *testing.T) {
	p := newProof(t)
	verify := func() error {
		_, err := recfleetv1.NewAuditServiceClient(p.admin).VerifyAudit(t.Context(), &recfleetv1.VerifyAuditRequest{})
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(p.dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("DROP TRIGGER audit_no_update")
	run("UPDATE audit SET reason = 'case 8' WHERE reason = 'case 7'")
	wantCode(t, verify(), codes.DataLoss, "was changed")

	// The whole chain anew.
	records, err := recfleetv1.NewAuditServiceClient(p.admin).ListAuditRecords(t.Context(), &recfleetv1.ListAuditRecordsRequest{OldestFirst: true, PageSize: 500})
	if err != nil {
		t.Fatal(err)
	}
	var last evidence.Record
	for _, r := range records.GetRecords() {
		one := evidence.Record{
			Number: r.GetNumber(), Time: r.GetTime().AsTime(), Who: r.GetActor(), Auth: r.GetAuth(), Action: r.GetAction(), Object: r.GetObject(),
			Reason: r.GetReason(), Result: r.GetResult(), From: r.GetFrom(), Previous: last.Hash,
			Span: evidence.Span{Start: r.GetSpanStart().AsDuration().Milliseconds(), End: r.GetSpanEnd().AsDuration().Milliseconds()},
		}
		one.Hash = one.Sum()
		run("UPDATE audit SET previous = ?, hash = ? WHERE number = ?", one.Previous.String(), one.Hash.String(), one.Number)
		last = one
	}
	run("UPDATE audit_head SET hash = ? WHERE one = 1", last.Hash.String())
	wantCode(t, verify(), codes.DataLoss, "daily file")
}

// Where the key was changed between a day's manifests and its digest, who has the key before verifies all, who has the new one alone
// what it signed, and a key that nobody signed is found out.
func TestTheArchiveIsVerifiedOverAChangeOfTheKey(t *testing.T) {
	var before, after ed25519.PublicKey
	p := newProofOver(t, func(p *proof) {
		path := filepath.Join(p.dir, "manifest.key")
		said, err := signer.Rotate(path, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		before, after = said.Previous.Ed25519(), said.Key.Ed25519()
	})
	answer, err := recfleetv1.NewRecordingServiceClient(p.admin).GetManifestKey(t.Context(), &recfleetv1.GetManifestKeyRequest{})
	if err != nil || !after.Equal(ed25519.PublicKey(answer.GetPublicKey())) || len(answer.GetSuccessions()) != 1 {
		t.Fatalf("%v, %v", answer, err)
	}
	said, err := evidence.ParseSuccession(answer.GetSuccessions()[0])
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	trusted := func(keys ...ed25519.PublicKey) {
		var lines string
		for _, key := range keys {
			lines += hex.EncodeToString(key) + "\n"
		}
		p.write(p.keys, []byte(lines))
	}
	for name, keys := range map[string][]ed25519.PublicKey{"the one before": {before}, "both": {after, before}} {
		trusted(keys...)
		if exit, r, stderr := p.verify(p.archive); exit != 0 || r.Sessions != 2 || r.Days != 2 {
			t.Errorf("%s: exit %d, %s, %+v", name, exit, stderr, r)
		}
	}
	trusted(after)
	exit, r, _ := p.verify(p.archive)
	if exit != 1 || r.Days != 2 || len(r.Problems) != 2 {
		t.Errorf("the new one alone: exit %d, %+v", exit, r)
	}
	for _, one := range r.Problems {
		if one.Kind != custody.Signature || !strings.HasSuffix(one.Key, "manifest.json") {
			t.Errorf("the new one alone: %+v", one)
		}
	}
	trusted(before)
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(previous ed25519.PublicKey, key ed25519.PrivateKey) []byte {
		one := evidence.NewSuccession(foreign, key.Public().(ed25519.PublicKey), time.Now())
		one.Previous = evidence.PublicKeyOf(previous)
		raw, err := one.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, test := range map[string]struct {
		tamper func(at func(key string) string)
		kind   custody.Kind
		about  string
	}{
		"the statement is removed": {func(at func(string) string) { os.Remove(at(said.Object())) }, custody.Signature, "digest of"},
		"the statement's time is altered": {func(at func(string) string) {
			p.replace(at(said.Object()), said.Time.Format(time.RFC3339), said.Time.Add(time.Hour).Format(time.RFC3339))
		}, custody.Signature, "not signed by the key before"},
		"a key that nobody signed is put in its place, with all that it signs": {func(at func(string) string) {
			p.write(at(said.Object()), forged(before, foreign))
			for _, day := range []evidence.Day{p.day, p.next} {
				p.write(at(day.Key(evidence.SignatureName)), ed25519.Sign(foreign, p.read(at(day.Key(evidence.DigestName)))))
			}
		}, custody.Signature, "not signed by the key before"},
		"a stranger's statement is added": {func(at func(string) string) {
			_, other, _ := ed25519.GenerateKey(nil)
			one := evidence.NewSuccession(foreign, other.Public().(ed25519.PublicKey), time.Now())
			raw, _ := one.Encode()
			p.write(at(one.Object()), raw)
		}, custody.Added, "nothing to do"},
		"a second key is said to follow": {func(at func(string) string) {
			p.write(at(evidence.KeysFolder+"other.json"), p.read(at(said.Object())))
		}, custody.Signature, "of another key"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "archive")
			if err := os.CopyFS(copied, os.DirFS(p.archive)); err != nil {
				t.Fatal(err)
			}
			test.tamper(func(key string) string { return filepath.Join(copied, filepath.FromSlash(key)) })
			os.RemoveAll(filepath.Join(copied, ".recfleet"))
			exit, r, stderr := p.verify(copied)
			if exit != 1 || len(r.Problems) == 0 || r.Problems[0].Kind != test.kind || !strings.Contains(r.Problems[0].Error(), test.about) {
				t.Errorf("exit %d, %s, %+v", exit, stderr, r.Problems)
			}
		})
	}
}
