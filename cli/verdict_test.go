package cli

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// signed is a fixture whose session a1 has a manifest that agrees with it.
type signed struct {
	*fixture
	m      manifest.Manifest
	key    ed25519.PublicKey
	secret ed25519.PrivateKey
}

func newSigned(t *testing.T) *signed {
	t.Helper()
	f := &signed{fixture: newFixture(t)}
	var err error
	if f.key, f.secret, err = ed25519.GenerateKey(nil); err != nil {
		t.Fatal(err)
	}
	s := f.sessions[0]
	s.EndTime = s.Segments[1].EndTime
	s.Gaps[0].EndTime = s.Segments[1].StartTime // of no length
	f.m = manifest.Manifest{Format: manifest.Format, Version: manifest.Version, RecordedSeconds: 16, Session: manifest.Session{
		ID: "a1", State: "complete", User: s.GetUser(), Instance: s.GetInstance(), Start: s.GetStartTime().AsTime(), End: s.GetEndTime().AsTime(),
		EndedBy: manifest.Agent, FrameRate: 5, ChainStart: chunk.Genesis("a1").String(),
	}}
	f.m.Epochs = []manifest.Epoch{{Number: 1, Start: f.m.Session.Start, Geometry: manifest.Geometry{Width: 1920, Height: 1080}}}
	f.m.Gaps = []manifest.Gap{{Start: s.Gaps[0].GetStartTime().AsTime(), End: s.Gaps[0].GetEndTime().AsTime(), Cause: s.Gaps[0].GetCause()}}
	chain := f.m.Session.ChainStart
	for _, g := range s.GetSegments() {
		r := g.GetRecording()
		next := chunk.Sum([]byte{byte(g.GetNumber())}).String()
		f.m.Segments = append(f.m.Segments, manifest.Segment{
			Number: int(g.GetNumber()), Epoch: 1, State: manifest.Archived, SealedBy: manifest.Agent, Start: g.GetStartTime().AsTime(), End: g.GetEndTime().AsTime(),
			Width: 1920, Height: 1080, Frames: 40, Chunks: 3, CapturedBytes: 500_000, ChainStart: chain, ChainEnd: next,
			Object: &manifest.Object{Key: r.GetObjectKey(), Bytes: r.GetBytes(), SHA256: hex.EncodeToString(r.GetSha256()), Width: 1920, Height: 1080, Frames: 40, DurationSeconds: 8},
		})
		chain = next
	}
	f.sign(t)
	return f
}

// sign has the server tell the manifest as it is now.
func (f *signed) sign(t *testing.T) {
	t.Helper()
	raw, err := f.m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f.manifest = &recfleetv1.GetManifestResponse{Manifest: raw, Signature: ed25519.Sign(f.secret, raw), PublicKey: f.key}
}

func (f *signed) verify(t *testing.T, args ...string) (int, verdict, string) {
	t.Helper()
	exit, stdout, stderr := f.run(t, append([]string{"recordings", "verify", "a1", "-o", "json"}, args...)...)
	var v verdict
	if stdout != "" {
		if err := json.Unmarshal([]byte(stdout), &v); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
	}
	return exit, v, stderr
}

func TestVerify(t *testing.T) {
	f := newSigned(t)
	exit, v, stderr := f.verify(t)
	if exit != exitOK || stderr != "" || !v.Verified || len(v.Problems) > 0 || len(v.Objects) != 2 || !v.Objects[0].Intact || v.RecordedSeconds != 16 || v.KeyPinned {
		t.Errorf("exit %d, stderr %q, %+v", exit, stderr, v)
	}
	if len(f.offsets) != 2 {
		t.Errorf("%d objects were read", len(f.offsets))
	}
	_, stdout, _ := f.run(t, "recordings", "verify", "a1", "-o", "wide", "--time", "utc")
	sum := sha256.Sum256(f.files[2])
	want := `session      a1
state        complete
result       verified
signing key  ` + verify.Fingerprint(f.key) + ` (not pinned)
objects      2, 360.0 kB
recorded     16.000s
gaps         0.000s in 1

gaps
STARTED               LENGTH  CAUSE              DETAIL
2026-01-02T03:04:13Z  0.0s    capture_restarted  -

objects
SEGMENT  INTACT  BYTES     SHA-256                                                           OBJECT
1        yes     360.0 kB  ` + v.Objects[0].SHA256 + `  k/video-000001.mp4
2        yes     10 B      ` + hex.EncodeToString(sum[:]) + `  k/video-000002.mp4
`
	if stdout != want {
		t.Errorf("wide:\n%s", stdout)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("something was kept: %v, %v", entries, err)
	}
}

func TestVerifyReadsThumbnails(t *testing.T) {
	f := newSigned(t)
	f.beside = map[recfleetv1.RecordingFile][]byte{
		recfleetv1.RecordingFile_RECORDING_FILE_SPRITE: []byte("jpeg"), recfleetv1.RecordingFile_RECORDING_FILE_INDEX: []byte("WEBVTT"),
	}
	archived := func(key string, file recfleetv1.RecordingFile) (*recfleetv1.ArchivedObject, manifest.File) {
		sum := sha256.Sum256(f.beside[file])
		size := int64(len(f.beside[file]))
		return &recfleetv1.ArchivedObject{ObjectKey: key, Bytes: size, Sha256: sum[:]}, manifest.File{Key: key, Bytes: size, SHA256: hex.EncodeToString(sum[:])}
	}
	thumbnails, listed := &recfleetv1.Thumbnails{}, &manifest.Thumbnails{}
	thumbnails.Sprite, listed.Sprite = archived("k/1.jpg", recfleetv1.RecordingFile_RECORDING_FILE_SPRITE)
	thumbnails.Index, listed.Index = archived("k/1.vtt", recfleetv1.RecordingFile_RECORDING_FILE_INDEX)
	f.sessions[0].Segments[0].Recording.Thumbnails, f.m.Segments[0].Object.Thumbnails = thumbnails, listed
	f.sign(t)
	exit, v, stderr := f.verify(t)
	if exit != exitOK || !v.Verified || len(v.Objects) != 4 || v.Objects[1].Key != "k/1.jpg" || v.Objects[2].Key != "k/1.vtt" || !v.Objects[2].Intact {
		t.Errorf("exit %d, stderr %q, %+v", exit, stderr, v)
	}
	for file, key := range map[recfleetv1.RecordingFile]string{
		recfleetv1.RecordingFile_RECORDING_FILE_SPRITE: "k/1.jpg", recfleetv1.RecordingFile_RECORDING_FILE_INDEX: "k/1.vtt",
	} {
		f.beside[file][0]++
		exit, v, stderr = f.verify(t)
		if exit != exitFailed || len(v.Problems) != 1 || v.Problems[0].Kind != verify.Altered || !strings.HasPrefix(v.Problems[0].Detail, key) {
			t.Errorf("%s altered: exit %d, stderr %q, %+v", key, exit, stderr, v.Problems)
		}
		f.beside[file][0]--
	}
}

func TestVerifyPins(t *testing.T) {
	f := newSigned(t)
	file := filepath.Join(f.home, "key.hex")
	f.file(t, file, hex.EncodeToString(f.key), 0o644)
	other, _, _ := ed25519.GenerateKey(nil)
	for _, pin := range []string{verify.Fingerprint(f.key), file} {
		if exit, v, stderr := f.verify(t, "--public-key", pin); exit != exitOK || !v.KeyPinned {
			t.Errorf("%s: exit %d, stderr %q", pin, exit, stderr)
		}
	}
	if exit, v, stderr := f.verify(t, "--public-key", verify.Fingerprint(other)); exit != exitFailed || v.Verified || !strings.Contains(stderr, "signature: the coordinator's key is") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
	for _, bad := range []string{"/absent", f.env["RECFLEET_CONTEXT"]} {
		if exit, _, stderr := f.verify(t, "--public-key", bad); exit != exitUsage || !strings.Contains(stderr, "--public-key") {
			t.Errorf("%s: exit %d, stderr %q", bad, exit, stderr)
		}
	}
	f.config(t, "current_context: a\ncontexts:\n  a: {client_file: HOME/client.json, manifest_key: "+verify.Fingerprint(other)+"}\n", 0o600)
	if exit, v, _ := f.verify(t); exit != exitFailed || !v.KeyPinned {
		t.Errorf("the context's key is not asked for: exit %d, %+v", exit, v)
	}
}

func TestVerifyFindsWhatIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*signed)
		resign bool
		kind   verify.Kind
		want   string
	}{
		"byte altered": {change: func(f *signed) {
			f.tamper = func(n int, data []byte) ([]byte, error) {
				if n%2 == 1 {
					data[3]++
				}
				return data, nil
			}
		}, kind: verify.Altered, want: ", in the catalog "},
		"object cut": {change: func(f *signed) {
			f.tamper = func(n int, data []byte) ([]byte, error) {
				if n == 0 {
					return data[:100], nil
				}
				return nil, nil
			}
		}, kind: verify.Altered, want: "another size"},
		"object longer": {change: func(f *signed) {
			f.tamper = func(_ int, data []byte) ([]byte, error) { return append(data, 0), nil }
		}, kind: verify.Altered, want: "more than its"},
		"object gone":         {change: func(f *signed) { f.refuse["download"] = status.Error(codes.NotFound, "no such object") }, kind: verify.Missing, want: "k/video-000001.mp4 is not in the archive"},
		"object damaged":      {change: func(f *signed) { f.refuse["download"] = status.Error(codes.DataLoss, "bad sector") }, kind: verify.Altered, want: "bad sector"},
		"archive silent":      {change: func(f *signed) { f.refuse["download"] = status.Error(codes.FailedPrecondition, "bucket is locked") }, kind: verify.Unreadable, want: "bucket is locked"},
		"manifest edited":     {change: func(f *signed) { f.manifest.Manifest = append(f.manifest.Manifest, ' ') }, kind: verify.Signature, want: "not the one of this manifest"},
		"manifest unreadable": {change: func(f *signed) { f.refuse["manifest"] = status.Error(codes.Unavailable, "sums differ") }, kind: verify.Unreadable, want: "the manifest cannot be read: get manifest of session a1: sums differ"},
		"no signature":        {change: func(f *signed) { f.manifest.Signature = nil }, kind: verify.Signature, want: "not signed"},
		"no manifest":         {change: func(f *signed) { f.manifest = nil }, kind: verify.Manifest, want: "there is none"},
		"no json":             {change: func(f *signed) { f.manifest.Manifest = []byte("\x1b{") }, kind: verify.Manifest, want: "parse manifest"},
		"second missing":      {change: func(f *signed) { f.m.Session.End = f.m.Session.End.Add(1e9) }, resign: true, kind: verify.Coverage, want: "1s from"},
		"other object": {change: func(f *signed) {
			f.m.Segments[1].Object.SHA256 = strings.Repeat("0", 64)
		}, resign: true, kind: verify.Altered, want: "in the manifest 0000"},
		"catalog differs":    {change: func(f *signed) { f.sessions[0].Segments[0].FrameCount = 39 }, kind: verify.Catalog, want: "39 frames"},
		"not in the catalog": {change: func(f *signed) { f.sessions[0].Segments = f.sessions[0].Segments[:1] }, kind: verify.Missing, want: "segment 2: k/video-000002.mp4"},
		"chain broken":       {change: func(f *signed) { f.m.Segments[1].ChainStart = f.m.Session.ChainStart }, resign: true, kind: verify.Chain, want: "segment 1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSigned(t)
			c.change(f)
			if c.resign {
				f.sign(t)
			}
			exit, v, stderr := f.verify(t)
			found := slices.ContainsFunc(v.Problems, func(p verify.Problem) bool { return p.Kind == c.kind && strings.Contains(p.Error(), c.want) })
			if exit != exitFailed || v.Verified || !found || !strings.HasPrefix(stderr, "recctl: session a1 is not verified: ") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit %d, stderr %q, problems %v", exit, stderr, v.Problems)
			}
			if _, stdout, _ := f.run(t, "recordings", "verify", "a1"); !strings.Contains(stdout, "NOT verified") || !strings.Contains(stdout, string(c.kind)) || strings.Contains(stdout, "\x1b") {
				t.Errorf("table\n%s", stdout)
			}
		})
	}
}

func TestVerifyOfWhatCannotBeJudged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*signed)
		exit   int
		want   string
	}{
		"unknown":  {func(f *signed) { f.sessions = f.sessions[1:] }, exitNotFound, "no session a1"},
		"not over": {func(f *signed) { f.sessions[0].State = recording }, exitFailed, "still recording"},
		"deleted":  {func(f *signed) { f.sessions[0].DeleteTime = f.sessions[0].EndTime }, exitFailed, "deleted"},
		"archive away": {func(f *signed) {
			f.refuse["manifest"] = status.Error(codes.Unavailable, "archive is away")
			f.refuse["download"] = status.Error(codes.Unavailable, "archive is away")
		}, exitUnavailable, "archive is away"},
		"not permitted":     {func(f *signed) { f.refuse["download"] = status.Error(codes.PermissionDenied, "not yours") }, exitDenied, "not yours"},
		"no reason to read": {func(f *signed) { f.refuse["download"] = status.Error(codes.InvalidArgument, "reason: is missing") }, exitUsage, "reason: is missing"},
		"no reason at all":  {func(f *signed) { f.refuse["manifest"] = status.Error(codes.InvalidArgument, "reason: is missing") }, exitUsage, "reason: is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSigned(t)
			c.change(f)
			exit, stdout, stderr := f.run(t, "recordings", "verify", "a1")
			if exit != c.exit || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
			}
		})
	}
}

func TestVerifyGoesOnAfterABreak(t *testing.T) {
	f := newSigned(t)
	f.bars = true
	f.tamper = func(n int, data []byte) ([]byte, error) {
		if n == 0 {
			return data[:100_000], status.Error(codes.Unavailable, "archive is restarting")
		}
		return data, nil
	}
	exit, v, stderr := f.verify(t)
	if exit != exitOK || !v.Verified || !slices.Equal(f.offsets, []int64{0, 100_000, 0}) || !strings.Contains(stderr, "100%") {
		t.Errorf("exit %d, offsets %v, stderr %q", exit, f.offsets, stderr)
	}
}

func TestVerifyReadsDocuments(t *testing.T) {
	f := newSigned(t)
	f.beside = map[recfleetv1.RecordingFile][]byte{
		recfleetv1.RecordingFile_RECORDING_FILE_METADATA: []byte("{}"), recfleetv1.RecordingFile_RECORDING_FILE_EVENTS: []byte("{}\n{}\n"),
	}
	document := func(name string, file recfleetv1.RecordingFile) manifest.Document {
		sum := sha256.Sum256(f.beside[file])
		return manifest.Document{Name: name, Bytes: int64(len(f.beside[file])), SHA256: hex.EncodeToString(sum[:])}
	}
	f.m.Documents = []manifest.Document{
		document("metadata.json", recfleetv1.RecordingFile_RECORDING_FILE_METADATA), document("events.ndjson", recfleetv1.RecordingFile_RECORDING_FILE_EVENTS),
	}
	f.sign(t)
	sum := sha256.Sum256(f.manifest.GetManifest())
	marker, err := manifest.NewMarker("a1", len(f.manifest.GetManifest()), hex.EncodeToString(sum[:])).Encode()
	if err != nil {
		t.Fatal(err)
	}
	f.beside[recfleetv1.RecordingFile_RECORDING_FILE_MARKER] = marker
	exit, v, stderr := f.verify(t)
	if exit != exitOK || !v.Verified || len(v.Objects) != 5 || v.Objects[4].Key != "complete.json" || !v.Objects[4].Intact || v.Objects[4].Segment != 0 {
		t.Errorf("exit %d, stderr %q, %+v", exit, stderr, v)
	}
	for file, raw := range f.beside {
		raw[0]++
		exit, v, _ = f.verify(t)
		if exit != exitFailed || len(v.Problems) != 1 || v.Problems[0].Kind != verify.Altered || v.Problems[0].Segment != 0 {
			t.Errorf("%v altered: exit %d, %+v", file, exit, v.Problems)
		}
		raw[0]--
		f.beside[file] = raw[:1]
		exit, v, _ = f.verify(t)
		if exit != exitFailed || len(v.Problems) != 1 || v.Problems[0].Kind != verify.Altered {
			t.Errorf("%v cut off: exit %d, %+v", file, exit, v.Problems)
		}
		f.beside[file] = raw
	}
	for _, d := range []manifest.Document{{Name: "other.json", SHA256: f.m.Documents[0].SHA256}, {Name: "metadata.json", SHA256: "x\x1b[31m"}} {
		f.m.Documents[0] = d
		f.sign(t)
		exit, v, _ = f.verify(t)
		if exit != exitFailed || len(v.Problems) == 0 || v.Problems[0].Kind != verify.Manifest || strings.ContainsRune(v.Problems[0].Detail, 0x1b) {
			t.Errorf("%+v: exit %d, %+v", d, exit, v.Problems)
		}
	}
}
