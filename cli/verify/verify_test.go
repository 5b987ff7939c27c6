package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

func at(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

// sound returns a session of three segments in two epochs, 0 to 10, 10 to 20 and 25 to 30, with the gap between declared.
func sound() manifest.Manifest {
	m := manifest.Manifest{
		Format: manifest.Format, Version: manifest.Version, RecordedSeconds: 25, MissingSeconds: 5,
		Session: manifest.Session{
			ID: "a1", State: "complete", User: "ana", Instance: "i-1", Start: at(0), End: at(30), EndedBy: manifest.Agent, FrameRate: 5,
			ChainStart: chunk.Genesis("a1").String(),
		},
		Epochs: []manifest.Epoch{
			{Number: 1, Start: at(0), Geometry: manifest.Geometry{Width: 641, Height: 480}},
			{Number: 2, Start: at(25), Geometry: manifest.Geometry{Width: 800, Height: 600}},
		},
		Gaps: []manifest.Gap{{Start: at(20), End: at(25), Cause: "capture_restarted"}},
	}
	chain := m.Session.ChainStart
	for n, s := range []struct{ from, to float64 }{{0, 10}, {10, 20}, {25, 30}} {
		next := chunk.Sum([]byte{byte(n)}).String()
		g := manifest.Segment{
			Number: n + 1, Epoch: 1, State: manifest.Archived, SealedBy: manifest.Agent, Start: at(s.from), End: at(s.to), Width: 641, Height: 480,
			Frames: int64(5 * (s.to - s.from)), Chunks: 3, CapturedBytes: 100, ChainStart: chain, ChainEnd: next,
			Object: &manifest.Object{
				Key: fmt.Sprintf("k/video-%06d.mp4", n+1), Bytes: 10, SHA256: strings.Repeat("0", 64), Width: 642, Height: 480,
				Frames: int64(5 * (s.to - s.from)), DurationSeconds: s.to - s.from,
				Thumbnails: &manifest.Thumbnails{
					Sprite: manifest.File{Key: "x.jpg", Bytes: 5, SHA256: strings.Repeat("ab", 32)}, Index: manifest.File{Key: "x.vtt", Bytes: 6, SHA256: strings.Repeat("cd", 32)},
				},
			},
		}
		if n == 2 {
			g.Epoch, g.Width, g.Height, g.Object.Width, g.Object.Height = 2, 800, 600, 800, 600
		}
		m.Segments, chain = append(m.Segments, g), next
	}
	return m
}

// told returns what a catalog says that agrees with a manifest.
func told(m manifest.Manifest) *recfleetv1.Session {
	s := &recfleetv1.Session{
		Id: m.Session.ID, State: recfleetv1.SessionState_SESSION_STATE_COMPLETE, User: m.Session.User, Instance: m.Session.Instance,
		StartTime: timestamppb.New(m.Session.Start), EndTime: timestamppb.New(m.Session.End),
	}
	for _, g := range m.Segments {
		sum, _ := hex.DecodeString(g.Object.SHA256)
		s.Segments = append(s.Segments, &recfleetv1.Segment{
			Number: int32(g.Number), Epoch: int32(g.Epoch), State: recfleetv1.SegmentState_SEGMENT_STATE_ARCHIVED, StartTime: timestamppb.New(g.Start),
			EndTime: timestamppb.New(g.End), Width: int32(g.Width), Height: int32(g.Height), FrameCount: g.Frames, ChunkCount: int32(g.Chunks), CapturedBytes: g.CapturedBytes,
			Recording: &recfleetv1.Recording{
				ObjectKey: g.Object.Key, Bytes: g.Object.Bytes, Sha256: sum, FrameCount: g.Object.Frames, Width: int32(g.Object.Width), Height: int32(g.Object.Height),
				Thumbnails: &recfleetv1.Thumbnails{
					Sprite: &recfleetv1.ArchivedObject{ObjectKey: "x.jpg", Bytes: 5, Sha256: bytes.Repeat([]byte{0xab}, 32)},
					Index:  &recfleetv1.ArchivedObject{ObjectKey: "x.vtt", Bytes: 6, Sha256: bytes.Repeat([]byte{0xcd}, 32)},
				},
			},
		})
	}
	for _, g := range m.Gaps {
		s.Gaps = append(s.Gaps, &recfleetv1.Gap{StartTime: timestamppb.New(g.Start), EndTime: timestamppb.New(g.End), Cause: g.Cause})
	}
	return s
}

func TestSoundManifestHasNoProblems(t *testing.T) {
	m := sound()
	if p := verify.Consistent(m, "a1"); len(p) > 0 {
		t.Errorf("%v", p)
	}
	if p := verify.Agree(m, told(m)); len(p) > 0 {
		t.Errorf("%v", p)
	}
}

func TestEveryBreakIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*manifest.Manifest)
		kind    verify.Kind
		segment int
		want    string
	}{
		"another session":        {func(m *manifest.Manifest) { m.Session.ID = "a2" }, verify.Manifest, 0, "of session a2"},
		"a second at the start":  {func(m *manifest.Manifest) { m.Session.Start = at(-1) }, verify.Coverage, 0, "1s from 2026-01-02T03:04:04.600Z, between the start and segment 1"},
		"a second at the end":    {func(m *manifest.Manifest) { m.Session.End = at(31) }, verify.Coverage, 0, "between segment 3 and the end"},
		"a second between":       {func(m *manifest.Manifest) { m.Gaps[0].Start = at(21) }, verify.Coverage, 0, "1s from 2026-01-02T03:04:25.600Z, between segment 2 and a gap"},
		"0.7 s between":          {func(m *manifest.Manifest) { m.Gaps[0].End = at(24.3) }, verify.Coverage, 0, "700ms from"},
		"no gap":                 {func(m *manifest.Manifest) { m.Gaps = nil }, verify.Coverage, 0, "5s from"},
		"gap without a cause":    {func(m *manifest.Manifest) { m.Gaps[0].Cause = "" }, verify.Coverage, 0, "nothing explains"},
		"unexplained gap":        {func(m *manifest.Manifest) { m.Gaps[0].Cause = manifest.CauseUnexplained }, verify.Coverage, 0, "nothing explains"},
		"gap backwards":          {func(m *manifest.Manifest) { m.Gaps[0].Start, m.Gaps[0].End = at(25), at(20) }, verify.Manifest, 0, "ends before it starts"},
		"segment left out":       {func(m *manifest.Manifest) { m.Segments = append(m.Segments[:1:1], m.Segments[2]) }, verify.Coverage, 0, "10s from"},
		"segment number skipped": {func(m *manifest.Manifest) { m.Segments = append(m.Segments[:1:1], m.Segments[2]) }, verify.Continuity, 3, "segment 2 should come before it"},
		"segments exchanged":     {func(m *manifest.Manifest) { m.Segments[0], m.Segments[1] = m.Segments[1], m.Segments[0] }, verify.Continuity, 1, "comes after segment 2"},
		"segments overlap":       {func(m *manifest.Manifest) { m.Segments[1].Start = at(9) }, verify.Continuity, 2, "1s before segment 1 ends"},
		"quarantined, no gap":    {func(m *manifest.Manifest) { m.Segments[1].State, m.Segments[1].Object = manifest.Quarantined, nil }, verify.Coverage, 0, "10s from"},
		"unknown state":          {func(m *manifest.Manifest) { m.Segments[1].State = "sealed" }, verify.Manifest, 2, "sealed"},
		"no object":              {func(m *manifest.Manifest) { m.Segments[1].Object = nil }, verify.Missing, 2, "names no object"},
		"no object, coverage":    {func(m *manifest.Manifest) { m.Segments[1].Object = nil }, verify.Coverage, 0, "10s from"},
		"object too short":       {func(m *manifest.Manifest) { m.Segments[1].Object.DurationSeconds = 9 }, verify.Coverage, 2, "lasts 9.000 s of 10.000"},
		"frames from elsewhere":  {func(m *manifest.Manifest) { m.Segments[1].Object.Frames++ }, verify.Manifest, 2, "51 frames"},
		"no frames":              {func(m *manifest.Manifest) { m.Segments[1].Object.Frames = 0 }, verify.Manifest, 2, "0 frames"},
		"object of another size": {func(m *manifest.Manifest) { m.Segments[1].Object.Width = 644 }, verify.Manifest, 2, "644x480"},
		"segment backwards":      {func(m *manifest.Manifest) { m.Segments[2].End = at(25) }, verify.Manifest, 3, "ends before"},
		"segment outside":        {func(m *manifest.Manifest) { m.Segments[2].End = at(40) }, verify.Manifest, 3, "outside"},
		"epoch missing":          {func(m *manifest.Manifest) { m.Epochs = m.Epochs[:1] }, verify.Continuity, 3, "epoch 2 is not listed"},
		"epoch number skipped":   {func(m *manifest.Manifest) { m.Epochs[1].Number = 3 }, verify.Continuity, 0, "epoch 3 comes where 2 should"},
		"epochs exchanged":       {func(m *manifest.Manifest) { m.Epochs[1].Start = at(-1) }, verify.Continuity, 0, "starts before epoch 1"},
		"epoch back":             {func(m *manifest.Manifest) { m.Segments[0].Epoch = 2 }, verify.Continuity, 2, "epoch 1 comes after epoch 2"},
		"epoch of another size":  {func(m *manifest.Manifest) { m.Epochs[1].Geometry.Height = 601 }, verify.Continuity, 3, "its epoch 800x601"},
		"chain from elsewhere":   {func(m *manifest.Manifest) { m.Session.ChainStart = m.Segments[0].ChainEnd }, verify.Chain, 0, "session's id"},
		"first link":             {func(m *manifest.Manifest) { m.Segments[0].ChainStart = m.Segments[0].ChainEnd }, verify.Chain, 1, "session's id"},
		"later link":             {func(m *manifest.Manifest) { m.Segments[1].ChainEnd = chunk.Sum(nil).String() }, verify.Chain, 3, "go on from segment 2"},
		"broken by an agent":     {func(m *manifest.Manifest) { m.Segments[1].ChainBroken, m.Segments[1].ChainStart = true, "" }, verify.Chain, 2, "go on from segment 1"},
		"malformed link":         {func(m *manifest.Manifest) { m.Segments[2].ChainEnd = "xyz" }, verify.Chain, 3, "malformed"},
		"broken by nobody's gap": {func(m *manifest.Manifest) {
			m.Session.EndedBy, m.Segments[1].ChainBroken, m.Segments[1].ChainStart, m.Segments[1].Start = manifest.Coordinator, true, "", at(10.1)
		}, verify.Chain, 2, "no gap is declared"},
		"recorded sum": {func(m *manifest.Manifest) { m.RecordedSeconds++ }, verify.Manifest, 0, "recorded_seconds"},
		"missing sum":  {func(m *manifest.Manifest) { m.MissingSeconds-- }, verify.Manifest, 0, "missing_seconds"},
		"frame rate":   {func(m *manifest.Manifest) { m.Session.FrameRate = 0 }, verify.Manifest, 0, "frame rate"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sound()
			c.change(&m)
			expect(t, verify.Consistent(m, "a1"), c.kind, c.segment, c.want)
		})
	}
}

func expect(t *testing.T, got []verify.Problem, kind verify.Kind, segment int, want string) {
	t.Helper()
	for _, p := range got {
		if p.Kind == kind && p.Segment == segment && strings.Contains(p.Detail, want) {
			return
		}
	}
	t.Errorf("no %s problem of segment %d about %q in %v", kind, segment, want, got)
}

func TestWhatPolicyAndLostAgentsDoIsNoProblem(t *testing.T) {
	for name, change := range map[string]func(*manifest.Manifest){
		"chain broken in a gap": func(m *manifest.Manifest) { m.Segments[2].ChainBroken, m.Segments[2].ChainStart = true, "" },
		"cut off": func(m *manifest.Manifest) {
			m.Segments[2].ChainStart = chunk.Sum([]byte("end of what was cut off")).String()
		},
		"segment lost whole": func(m *manifest.Manifest) {
			m.Segments[2].Number, m.Segments[2].ChainStart = 5, chunk.Sum(nil).String()
		},
		"epoch not reported":   func(m *manifest.Manifest) { m.Epochs = m.Epochs[:1] },
		"salvaged":             func(m *manifest.Manifest) { m.Segments[2].SealedBy = manifest.Coordinator },
		"thinned out":          func(m *manifest.Manifest) { m.Segments[1].Object.Frames = 10 },
		"scaled down":          func(m *manifest.Manifest) { m.Segments[1].Object.Width, m.Segments[1].Object.Height = 320, 240 },
		"within the tolerance": func(m *manifest.Manifest) { m.Gaps[0].End = at(24.5); m.MissingSeconds = 4.5 },
		"quarantined": func(m *manifest.Manifest) {
			m.Segments[1].State, m.Segments[1].Object = manifest.Quarantined, nil
			m.Gaps = append(m.Gaps, manifest.Gap{Start: at(10), End: at(20), Cause: manifest.CauseQuarantined})
			m.RecordedSeconds, m.MissingSeconds = 15, 15
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := sound()
			m.Session.EndedBy = manifest.Coordinator
			change(&m)
			if p := verify.Consistent(m, "a1"); len(p) > 0 {
				t.Errorf("%v", p)
			}
		})
	}
}

func TestDisagreementsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*recfleetv1.Session)
		segment int
		want    string
	}{
		"state":      {func(s *recfleetv1.Session) { s.State = recfleetv1.SessionState_SESSION_STATE_INTERRUPTED }, 0, "is interrupted"},
		"end":        {func(s *recfleetv1.Session) { s.EndTime = timestamppb.New(at(29)) }, 0, "in the manifest from"},
		"user":       {func(s *recfleetv1.Session) { s.User = "bo" }, 0, "user"},
		"one more":   {func(s *recfleetv1.Session) { s.Segments = append(s.Segments, &recfleetv1.Segment{Number: 4}) }, 4, "not in the manifest"},
		"one less":   {func(s *recfleetv1.Session) { s.Segments = s.Segments[:2] }, 3, "in the manifest alone"},
		"times":      {func(s *recfleetv1.Session) { s.Segments[0].EndTime = timestamppb.New(at(9)) }, 1, "times"},
		"its state":  {func(s *recfleetv1.Session) { s.Segments[0].State = recfleetv1.SegmentState_SEGMENT_STATE_SEALED }, 1, "is sealed"},
		"size":       {func(s *recfleetv1.Session) { s.Segments[0].Width = 640 }, 1, "size"},
		"frames":     {func(s *recfleetv1.Session) { s.Segments[0].FrameCount = 1 }, 1, "1 frames"},
		"sum":        {func(s *recfleetv1.Session) { s.Segments[1].Recording.Sha256[3] = 1 }, 2, "SHA-256"},
		"bytes":      {func(s *recfleetv1.Session) { s.Segments[1].Recording.Bytes = 11 }, 2, "11 bytes"},
		"key":        {func(s *recfleetv1.Session) { s.Segments[1].Recording.ObjectKey = "x" }, 2, `"x"`},
		"no object":  {func(s *recfleetv1.Session) { s.Segments[1].Recording = nil }, 2, "only one"},
		"mp4 frames": {func(s *recfleetv1.Session) { s.Segments[1].Recording.FrameCount = 3 }, 2, "object's frames"},
		"sprite":     {func(s *recfleetv1.Session) { s.Segments[1].Recording.Thumbnails.Sprite.Sha256[1] = 1 }, 2, "thumbnails"},
		"index":      {func(s *recfleetv1.Session) { s.Segments[1].Recording.Thumbnails.Index.ObjectKey = "y.vtt" }, 2, "thumbnails"},
		"thumbnails": {func(s *recfleetv1.Session) { s.Segments[1].Recording.Thumbnails = nil }, 2, "thumbnails"},
		"no gap":     {func(s *recfleetv1.Session) { s.Gaps = nil }, 0, "in the manifest alone"},
		"gap":        {func(s *recfleetv1.Session) { s.Gaps[0].Cause = "other" }, 0, "not in the manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sound()
			s := told(m)
			c.change(s)
			expect(t, verify.Agree(m, s), verify.Catalog, c.segment, c.want)
		})
	}
}

func TestSigned(t *testing.T) {
	key, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	raw := []byte("manifest")
	signature := ed25519.Sign(secret, raw)
	pin := verify.Fingerprint(key)
	if p := verify.Signed(raw, signature, verify.Keys{Present: key}); len(p) > 0 {
		t.Errorf("%v", p)
	}
	if p := verify.Signed(raw, signature, verify.Keys{Present: key, Pinned: []string{strings.ToUpper(pin)}}); len(p) > 0 {
		t.Errorf("pinned: %v", p)
	}
	expect(t, verify.Signed(raw, nil, verify.Keys{Present: key}), verify.Signature, 0, "not signed")
	expect(t, verify.Signed(raw, signature[:63], verify.Keys{Present: key}), verify.Signature, 0, "malformed")
	expect(t, verify.Signed(raw, signature, verify.Keys{Present: key[:31]}), verify.Signature, 0, "malformed")
	expect(t, verify.Signed([]byte("manifesto"), signature, verify.Keys{Present: key}), verify.Signature, 0, "is not the one")
	expect(t, verify.Signed(raw, signature, verify.Keys{Present: other}), verify.Signature, 0, "is not the one")
	expect(t, verify.Signed(raw, ed25519.Sign(secret, raw), verify.Keys{Present: key, Pinned: []string{verify.Fingerprint(other)}}), verify.Signature, 0, "and not SHA256:")
}

func TestParseKey(t *testing.T) {
	key, _, _ := ed25519.GenerateKey(nil)
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"pem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "hex": hex.EncodeToString(key) + "\n",
		"base64": base64.StdEncoding.EncodeToString(key), "raw base64": base64.RawStdEncoding.EncodeToString(key),
	} {
		if got, err := verify.ParseKey([]byte(raw)); err != nil || !got.Equal(key) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, raw := range []string{"", "x", hex.EncodeToString(key[:31]), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der[:9]}))} {
		if _, err := verify.ParseKey([]byte(raw)); err == nil {
			t.Errorf("%q was taken for a key", raw)
		}
	}
}

// However mangled a manifest is, judging it ends.
func FuzzConsistent(f *testing.F) {
	raw, err := sound().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := manifest.Parse(raw)
		if err != nil {
			return
		}
		verify.Consistent(m, "a1")
		verify.Agree(m, told(sound()))
	})
}
