package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func isFingerprint(s string) bool { return verify.IsFingerprint(s) }

// verdict is what recordings verify prints; its JSON is a promise to scripts.
type verdict struct {
	SessionID string `json:"session_id"`
	State     string `json:"state"`
	Verified  bool   `json:"verified"`
	// Addenda is how many manifests go on from the first one.
	Addenda int `json:"addenda"`
	// KeyFingerprint is of the key that the manifest is signed with; KeyPinned says that it was demanded and not only told.
	KeyFingerprint  string           `json:"key_fingerprint"`
	KeyPinned       bool             `json:"key_pinned"`
	RecordedSeconds float64          `json:"recorded_seconds"`
	GapSeconds      float64          `json:"gap_seconds"`
	Objects         []objectVerdict  `json:"objects"`
	Gaps            []manifest.Gap   `json:"gaps"`
	Problems        []verify.Problem `json:"problems"`
}

type objectVerdict struct {
	Segment int    `json:"segment"`
	Key     string `json:"key"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"` // as it was read
	Intact  bool   `json:"intact"`
}

// failure returns the problems as an error.
func (v *verdict) failure() error {
	if v.Verified {
		return nil
	}
	more := ""
	if n := len(v.Problems); n > 1 {
		more = fmt.Sprintf(" (and %d more problems)", n-1)
	}
	return fmt.Errorf("session %s is not verified: %w%s", v.SessionID, v.Problems[0], more)
}

// verify judges a session. The error is for what kept it from judging.
func (a *app) verify(ctx context.Context, conn *grpc.ClientConn, id string, pins []string, reason string) (*verdict, error) {
	s, err := a.session(ctx, conn, id)
	if err != nil {
		return nil, err
	}
	v := &verdict{
		SessionID: id, State: stateName(s.GetState()), KeyPinned: len(pins) > 0,
		Objects: []objectVerdict{}, Gaps: []manifest.Gap{}, Problems: []verify.Problem{},
	}
	switch {
	case s.GetDeleteTime() != nil:
		return nil, fmt.Errorf("verify session %s: its recordings were deleted", id)
	case !final(s):
		return nil, fmt.Errorf("verify session %s: it is still %s, and its manifest comes when it is over", id, stateName(s.GetState()))
	}
	client := recfleetv1.NewRecordingServiceClient(conn)
	callCtx, cancel := a.deadline(ctx)
	answer, err := client.GetManifest(callCtx, &recfleetv1.GetManifestRequest{SessionId: id, Reason: reason})
	cancel()
	unread := failed(err, "get manifest of session %s", id)
	switch code(unread) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.InvalidArgument:
		return nil, unread
	case codes.NotFound:
		unread = nil
	}
	keys, err := keysOf(answer, pins)
	if err != nil {
		return nil, err
	}
	m, problems := judgeManifest(answer, s, keys)
	if unread != nil {
		problems = []verify.Problem{{Kind: verify.Unreadable, Detail: fmt.Sprintf("the manifest cannot be read: %v", unread)}}
	}
	if key := evidence.SignedBy(keys.Trusted(), answer.GetManifest(), answer.GetSignature()); key != nil {
		v.KeyFingerprint = verify.Fingerprint(key)
	} else if key := answer.GetPublicKey(); len(key) > 0 {
		v.KeyFingerprint = verify.Fingerprint(key)
	}
	v.Addenda = len(answer.GetEarlier())
	v.RecordedSeconds, v.GapSeconds, v.Gaps = m.RecordedSeconds, m.MissingSeconds, append(v.Gaps, m.Gaps...)
	v.Problems = append(v.Problems, problems...)
	if err := a.readObjects(ctx, client, s, m, reason, v); err != nil {
		return nil, err
	}
	if unread != nil && !slices.ContainsFunc(v.Objects, func(o objectVerdict) bool { return o.SHA256 != "" }) {
		return nil, unread // nothing at all can be read: that says nothing about the recordings
	}
	v.Verified = len(v.Problems) == 0
	return v, nil
}

// final reports whether a session is over and has a manifest.
func final(s *recfleetv1.Session) bool {
	switch s.GetState() {
	case recfleetv1.SessionState_SESSION_STATE_COMPLETE, recfleetv1.SessionState_SESSION_STATE_INTERRUPTED, recfleetv1.SessionState_SESSION_STATE_EMPTY:
		return true
	}
	return false
}

// keysOf returns the coordinator's keys as it tells them.
func keysOf(answer interface {
	GetPublicKey() []byte
	GetSuccessions() [][]byte
}, pins []string,
) (verify.Keys, error) {
	keys := verify.Keys{Present: answer.GetPublicKey(), Pinned: pins}
	for _, raw := range answer.GetSuccessions() {
		one, err := evidence.ParseSuccession(raw)
		if err != nil {
			return keys, fmt.Errorf("read the coordinator's keys: %w", err)
		}
		keys.Line = append(keys.Line, one)
	}
	return keys, nil
}

// judgeManifest returns the last manifest, as far as there is one, and what is wrong with it and those that it goes on from.
func judgeManifest(answer *recfleetv1.GetManifestResponse, s *recfleetv1.Session, keys verify.Keys) (manifest.Manifest, []verify.Problem) {
	var chain verify.Manifests
	for _, one := range append(answer.GetEarlier(), &recfleetv1.SignedManifest{Manifest: answer.GetManifest(), Signature: answer.GetSignature()}) {
		chain.Add(one.GetManifest(), one.GetSignature(), keys)
	}
	m, problems := chain.Last, chain.Problems
	if m.Format == "" {
		return m, problems
	}
	problems = append(problems, verify.Consistent(m, s.GetId())...)
	return m, append(problems, verify.Agree(m, s)...)
}

// readObjects reads every object that catalog or manifest name.
func (a *app) readObjects(ctx context.Context, client recfleetv1.RecordingServiceClient, s *recfleetv1.Session, m manifest.Manifest, reason string, v *verdict) error {
	named := filesOf(m)
	var total int64
	known := map[int]bool{}
	for _, g := range s.GetSegments() {
		known[int(g.GetNumber())] = g.GetRecording() != nil
		if g.GetRecording() == nil {
			continue
		}
		for _, from := range sourcesOf(g.GetRecording()) {
			total += from.bytes
		}
	}
	for _, g := range m.Segments {
		if g.Object != nil && !known[g.Number] {
			v.Objects = append(v.Objects, objectVerdict{Segment: g.Number, Key: g.Object.Key})
			v.Problems = append(v.Problems, verify.Problem{Kind: verify.Missing, Segment: g.Number, Detail: g.Object.Key + " is not in the catalog, and cannot be read"})
		}
	}
	bar := a.progress("verify", total, 0)
	defer bar.Close()
	d := &downloader{client: client, idle: a.timeout, bar: func(string, int64, int64) io.WriteCloser { return shared{bar} }, reason: reason, entire: true}
	for _, g := range s.GetSegments() {
		if g.GetRecording() == nil {
			continue
		}
		for _, from := range sourcesOf(g.GetRecording()) {
			o, problem, err := d.examine(ctx, from, named[from.key])
			if err != nil {
				return err
			}
			v.Objects = append(v.Objects, o)
			if problem == nil {
				continue
			}
			v.Problems = append(v.Problems, *problem)
			if problem.Kind == verify.Unreadable && len(v.Objects) == 1 && m.Format == "" {
				return nil // neither the manifest nor the first object: the archive is away
			}
		}
	}
	return nil
}

// sourcesOf returns the objects of a recording.
func sourcesOf(r *recfleetv1.Recording) []source {
	video := videoOf(r)
	all := []source{video}
	for file, o := range map[recfleetv1.RecordingFile]*recfleetv1.ArchivedObject{
		recfleetv1.RecordingFile_RECORDING_FILE_SPRITE: r.GetThumbnails().GetSprite(),
		recfleetv1.RecordingFile_RECORDING_FILE_INDEX:  r.GetThumbnails().GetIndex(),
	} {
		if o != nil {
			all = append(all, source{video.session, video.segment, file, o.GetObjectKey(), o.GetBytes(), o.GetSha256()})
		}
	}
	slices.SortFunc(all, func(a, b source) int { return cmp.Compare(a.file, b.file) })
	return all
}

// filesOf returns what a manifest says of every object that belongs to its segments, by key.
func filesOf(m manifest.Manifest) map[string]*manifest.File {
	named := map[string]*manifest.File{}
	for _, g := range m.Segments {
		if o := g.Object; o != nil {
			named[o.Key] = &manifest.File{Key: o.Key, Version: o.Version, Bytes: o.Bytes, SHA256: o.SHA256}
			if t := o.Thumbnails; t != nil {
				named[t.Sprite.Key], named[t.Index.Key] = &t.Sprite, &t.Index
			}
		}
	}
	return named
}

// shared is a bar that lasts longer than one download.
type shared struct{ io.Writer }

func (shared) Close() error { return nil }

// examine reads one object. The error is for what would keep it from reading all others too.
func (d *downloader) examine(ctx context.Context, from source, expected *manifest.File) (objectVerdict, *verify.Problem, error) {
	n := int(from.segment)
	o := objectVerdict{Segment: n, Key: from.key, Bytes: from.bytes}
	problem := func(kind verify.Kind, format string, args ...any) (objectVerdict, *verify.Problem, error) {
		return o, &verify.Problem{Kind: kind, Segment: n, Detail: from.key + " " + fmt.Sprintf(format, args...)}, nil
	}
	sum := sha256.New()
	err := d.stream(ctx, io.Discard, sum, 0, from)
	var size *sizeError
	switch code := code(err); {
	case ctx.Err() != nil:
		return o, nil, ctx.Err()
	case errors.As(err, &size):
		return problem(verify.Altered, "has another size: %v", size)
	case code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.InvalidArgument:
		return o, nil, err
	case code == codes.NotFound:
		return problem(verify.Missing, "is not in the archive")
	case code == codes.DataLoss:
		return problem(verify.Altered, "is damaged: %v", err)
	case err != nil:
		return problem(verify.Unreadable, "cannot be read: %v", err)
	}
	o.SHA256 = hex.EncodeToString(sum.Sum(nil))
	switch {
	case !bytes.Equal(sum.Sum(nil), from.sha256):
		return problem(verify.Altered, "has SHA-256 %s, in the catalog %x", o.SHA256, from.sha256)
	case expected != nil && (o.SHA256 != expected.SHA256 || o.Bytes != expected.Bytes):
		return problem(verify.Altered, "has SHA-256 %s, in the manifest %s", o.SHA256, expected.SHA256)
	}
	o.Intact = true
	return o, nil, nil
}
