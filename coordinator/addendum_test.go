package coordinator_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/cli/custody"
	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/evidence"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// A segment that is encoded after its session was over is in a manifest that goes on from the first: everybody who asks gets the whole
// chain, and whoever removes or alters it is found out.
func TestAnAddendum(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: time.Minute, SegmentLength: 20 * time.Second})
	a, e := newAgent(w), newEncoder(w)
	a.segment(10)
	a.segment(10)
	a.end(40 * time.Second)
	w.until("one archived and one quarantined", func() bool {
		for _, l := range e.sync(2, time.Second).GetGranted() {
			if l.GetSource().GetSegment() == 1 {
				if _, err := w.jobs().CompleteJob(t.Context(), e.archive(l)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if _, err := w.jobs().FailJob(t.Context(), &recfleetv1.FailJobRequest{
				JobId: l.GetJobId(), Generation: l.GetGeneration(), EncoderId: e.id, Cause: recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT, Detail: "bad",
			}); err != nil {
				t.Fatal(err)
			}
		}
		return w.session(a.session).GetState() == recfleetv1.SessionState_SESSION_STATE_COMPLETE
	})
	recordings := recfleetv1.NewRecordingServiceClient(w.admin)
	chain := func() (verify.Manifests, *recfleetv1.GetManifestResponse) {
		t.Helper()
		got, err := recordings.GetManifest(t.Context(), &recfleetv1.GetManifestRequest{SessionId: a.session})
		if err != nil {
			t.Fatal(err)
		}
		var c verify.Manifests
		for _, one := range append(got.GetEarlier(), &recfleetv1.SignedManifest{Manifest: got.GetManifest(), Signature: got.GetSignature()}) {
			c.Add(one.GetManifest(), one.GetSignature(), verify.Keys{Present: got.GetPublicKey()})
		}
		return c, got
	}
	if c, _ := chain(); len(c.Problems) > 0 || len(c.Last.Gaps) != 1 || c.Last.Addendum != nil {
		t.Fatalf("%+v", c)
	}
	if _, err := recfleetv1.NewJobServiceClient(w.admin).RetryJob(t.Context(), &recfleetv1.RetryJobRequest{JobId: a.session + ".2"}); err != nil {
		t.Fatal(err)
	}
	e.work(1)
	w.until("addendum", func() bool { return len(w.session(a.session).GetGaps()) == 0 })
	c, got := chain()
	s := w.session(a.session)
	if len(c.Problems) > 0 || c.Last.Number() != 2 || len(got.GetEarlier()) != 1 || len(verify.Consistent(c.Last, a.session)) > 0 || len(verify.Agree(c.Last, s)) > 0 ||
		s.GetStateReason() != "" || s.GetState() != recfleetv1.SessionState_SESSION_STATE_COMPLETE {
		t.Fatalf("%+v\n%v", c, s)
	}
	w.until("chunks taken off the bus", func() bool {
		held, err := w.broker.Segments(t.Context(), a.session)
		return err != nil || len(held) == 0
	})

	// Two days later digests tell of both.
	archive := filepath.Join(w.dir, "archive")
	p := &proof{world: w, archive: archive, keys: filepath.Join(w.dir, "keys"), day: evidence.DayOf(time.Now())}
	key, err := signer.Open(filepath.Join(w.dir, "manifest.key"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(p.keys, []byte(hex.EncodeToString(key.Public())))
	p.now = time.Now()
	if exit, r, stderr := p.verify(archive, "--until", "none"); exit != 1 || len(r.Problems) != 1 || r.Problems[0].Kind != custody.Removed {
		t.Errorf("before there is a digest: exit %d, %+v, %s", exit, r, stderr)
	}
	w.stop()
	p.now = p.day.Next().Start().Add(time.Hour)
	w.settings.Now = func() time.Time { return p.now }
	w.start()
	w.until("digest", func() bool { return strings.Contains(w.log.String(), "day told of") })
	w.stop()
	if exit, r, stderr := p.verify(archive, "--settled"); exit != 0 || r.Sessions != 1 || len(r.Notes) > 0 {
		t.Fatalf("exit %d, %s, %+v", exit, stderr, r)
	}
	second := a.prefix + "manifest-0002.json"
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tamper func(at func(string) string)
		kind   custody.Kind
		about  string
	}{
		"the addendum is removed": {func(at func(string) string) { os.Remove(at(second)) }, custody.Removed, "manifest-0002.json"},
		"the addendum is removed with its signature and mp4": {func(at func(string) string) {
			os.Remove(at(second))
			os.Remove(at(second + ".sig"))
			os.Remove(at(a.prefix + "video-000002.g4.mp4"))
		}, custody.Removed, "manifest-0002.json"},
		"its signature is removed":      {func(at func(string) string) { os.Remove(at(second + ".sig")) }, custody.Signature, "manifest-0002.json"},
		"its mp4 is removed":            {func(at func(string) string) { os.Remove(at(a.prefix + "video-000002.g4.mp4")) }, custody.Removed, "video-000002.g4.mp4"},
		"the first manifest is removed": {func(at func(string) string) { os.Remove(at(a.prefix + "manifest.json")) }, custody.Removed, "manifest.json"},
		"the addendum is altered": {func(at func(string) string) {
			p.replace(at(second), "stopped by hook", "stopped by hand")
		}, custody.Altered, "manifest-0002.json"},
		"the addendum is altered and signed with another key": {func(at func(string) string) {
			p.replace(at(second), "stopped by hook", "stopped by hand")
			p.write(at(second+".sig"), ed25519.Sign(foreign, p.read(at(second))))
		}, custody.Altered, "manifest-0002.json"},
		"a third one is added": {func(at func(string) string) {
			raw := bytes.Replace(p.read(at(second)), []byte(`"number": 2,`), []byte(`"number": 3,`), 1)
			p.write(at(a.prefix+"manifest-0003.json"), raw)
			p.write(at(a.prefix+"manifest-0003.json.sig"), ed25519.Sign(foreign, raw))
		}, custody.Signature, "manifest-0003.json"},
		"a third one of the coordinator's key does not go on": {func(at func(string) string) {
			raw := bytes.Replace(p.read(at(second)), []byte(`"number": 2,`), []byte(`"number": 3,`), 1)
			p.write(at(a.prefix+"manifest-0003.json"), raw)
			p.write(at(a.prefix+"manifest-0003.json.sig"), p.sign(raw))
		}, custody.Manifest, "manifest-0003.json"},
		"one is left out": {func(at func(string) string) { p.write(at(a.prefix+"manifest-0004.json"), []byte("x")) }, custody.Removed, "manifest-0003.json"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "archive")
			if err := os.CopyFS(copied, os.DirFS(archive)); err != nil {
				t.Fatal(err)
			}
			test.tamper(func(key string) string { return filepath.Join(copied, filepath.FromSlash(key)) })
			os.RemoveAll(filepath.Join(copied, ".recfleet"))
			exit, r, stderr := p.verify(copied)
			if exit != 1 || len(r.Problems) == 0 {
				t.Fatalf("was not found out: exit %d, %s", exit, stderr)
			}
			if got := r.Problems[0]; got.Kind != test.kind || !strings.Contains(got.Error(), test.about) {
				t.Errorf("found as %+v", r.Problems)
			}
		})
	}
	// The coordinator says the same of the archive that it has.
	if err := os.Remove(filepath.Join(archive, filepath.FromSlash(second))); err != nil {
		t.Fatal(err)
	}
	w.start()
	recordings = recfleetv1.NewRecordingServiceClient(w.admin)
	if c, _ := chain(); len(c.Problems) != 1 || c.Problems[0].Kind != verify.Manifest || !strings.Contains(c.Problems[0].Detail, "manifest-0002.json") ||
		len(verify.Agree(c.Last, w.session(a.session))) == 0 {
		t.Errorf("%+v", c)
	}
}
