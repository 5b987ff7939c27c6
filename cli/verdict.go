package cli

import (
	"context"
	"fmt"
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
	Segment int    `json:"segment"` // 0 for a document of the session
	Key     string `json:"key"`     // of a document its name in the session's folder
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
	first := answer.GetManifest()
	if earlier := answer.GetEarlier(); len(earlier) > 0 {
		first = earlier[0].GetManifest()
	}
	documents, problems, err := documentsOf(m, first)
	if err != nil {
		return nil, err
	}
	v.Problems = append(v.Problems, problems...)
	if err := a.readObjects(ctx, client, s, m, documents, reason, v); err != nil {
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
