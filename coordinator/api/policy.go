package api

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// policyService answers about the recording policy.
type policyService struct {
	recfleetv1.UnimplementedPolicyServiceServer
	sessions *sessions.Sessions
	encode   EncodeSettings
}

// TestPolicy says what would hold for a session.
func (s *policyService) TestPolicy(_ context.Context, r *recfleetv1.TestPolicyRequest) (*recfleetv1.TestPolicyResponse, error) {
	if err := checkTestPolicy(r); err != nil {
		return nil, err
	}
	o := s.sessions.Try(policy.Subject{
		User: r.GetUser(), Groups: r.GetGroups(), Stack: r.GetStack(), Fleet: r.GetFleet(), Instance: r.GetInstance(), Metadata: r.GetMetadata(),
	})
	answer := &recfleetv1.TestPolicyResponse{
		PolicyHash: o.Hash, PolicyVersion: o.Version, Rule: o.Rule, Settings: settingsToProto(o.Decision, s.encode), Groups: o.Groups,
	}
	for _, t := range o.Trials {
		answer.Trials = append(answer.Trials, &recfleetv1.RuleTrial{Rule: t.Rule, Matched: t.Matched, Mismatch: t.Mismatch})
	}
	return answer, nil
}

// GetPolicySchema returns the schema of policy files.
func (s *policyService) GetPolicySchema(context.Context, *recfleetv1.GetPolicySchemaRequest) (*recfleetv1.GetPolicySchemaResponse, error) {
	return &recfleetv1.GetPolicySchemaResponse{Schema: policy.Schema()}, nil
}

func checkTestPolicy(r *recfleetv1.TestPolicyRequest) error {
	if len(r.GetGroups()) > maxEntries {
		return wrong("groups", "are %d, at most %d", len(r.GetGroups()), maxEntries)
	}
	for i, g := range r.GetGroups() {
		if err := required(fmt.Sprintf("groups[%d]", i), g, maxName); err != nil {
			return err
		}
	}
	return first(text("user", r.GetUser(), maxName), text("stack", r.GetStack(), maxName), text("fleet", r.GetFleet(), maxName),
		text("instance", r.GetInstance(), maxName), metadata("metadata", r.GetMetadata()))
}

// captureToProto is how an agent is to record a session.
func captureToProto(s catalog.Session) *recfleetv1.CaptureSettings {
	return &recfleetv1.CaptureSettings{
		FrameRate: int32(s.FrameRate), SegmentLength: durationpb.New(s.SegmentLength), ChunkBytes: chunk.MaxPayload, SegmentBytes: s.SegmentBytes,
		Mode: modeToProto(policy.Mode(s.Policy.Mode)), Grace: positive(s.Policy.Grace), Notice: s.Policy.Notice,
	}
}

// sessionPolicyToProto returns nil where a session was begun without a policy.
func sessionPolicyToProto(p catalog.Policy) *recfleetv1.SessionPolicy {
	if p.Hash == "" {
		return nil
	}
	return &recfleetv1.SessionPolicy{
		Rule: p.Rule, Hash: p.Hash, Version: p.Version, Mode: modeToProto(policy.Mode(p.Mode)), Retention: positive(p.Retention),
	}
}

func settingsToProto(d policy.Decision, server EncodeSettings) *recfleetv1.PolicySettings {
	return &recfleetv1.PolicySettings{
		Record: d.Record, Reason: d.Reason, Mode: modeToProto(d.Mode), Grace: positive(d.Grace), FrameRate: int32(d.FrameRate),
		SegmentLength: durationpb.New(d.SegmentLength), Encode: encodeToProto(server.under(catalog.Encode(d.Encode)), d.Encode), Retention: positive(d.Retention), Notice: d.Notice,
		Activity: d.Activity, Enforce: string(d.Enforce), Pool: d.Pool,
	}
}

func encodeToProto(s EncodeSettings, e policy.Encode) *recfleetv1.PolicyEncode {
	out := &recfleetv1.PolicyEncode{
		Bitrate: e.Bitrate, Preset: s.Preset, FrameRate: int32(e.FrameRate), MaxWidth: int32(e.MaxWidth), MaxHeight: int32(e.MaxHeight),
	}
	if e.Bitrate == 0 {
		crf := int32(s.CRF)
		out.Crf = &crf
	}
	return out
}

// under returns the settings with what a session's policy says of them.
func (s EncodeSettings) under(e catalog.Encode) EncodeSettings {
	if e.Preset != "" {
		s.Preset = e.Preset
	}
	if e.CRF != nil {
		s.CRF = *e.CRF
	}
	s.Bitrate, s.MaxFrameRate, s.MaxWidth, s.MaxHeight = e.Bitrate, e.FrameRate, e.MaxWidth, e.MaxHeight
	return s
}

func modeToProto(m policy.Mode) recfleetv1.RecordingMode {
	switch m {
	case policy.ModeStrict:
		return recfleetv1.RecordingMode_RECORDING_MODE_STRICT
	case policy.ModeGrace:
		return recfleetv1.RecordingMode_RECORDING_MODE_GRACE
	case policy.ModeBestEffort:
		return recfleetv1.RecordingMode_RECORDING_MODE_BEST_EFFORT
	case policy.ModeUnset:
	}
	return recfleetv1.RecordingMode_RECORDING_MODE_UNSPECIFIED
}

// positive returns nil for a duration that is not set.
func positive(d time.Duration) *durationpb.Duration {
	if d <= 0 {
		return nil
	}
	return durationpb.New(d)
}

// notRecorded is the status of a session that policy excludes.
func notRecorded(n *sessions.NotRecorded) error {
	s := status.New(codes.FailedPrecondition, oneLine(n.Error(), maxReason))
	detailed, err := s.WithDetails(&recfleetv1.NotRecorded{Reason: n.Reason, Rule: n.Rule, PolicyHash: n.Hash, SessionId: n.Session})
	if err != nil {
		return s.Err() // the words alone
	}
	return detailed.Err()
}
