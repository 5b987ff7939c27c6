package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// ErrCredentials says that the coordinator does not accept the token.
var ErrCredentials = errors.New("the coordinator does not accept the token")

// NewRequestID returns a random request id.
func NewRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Registrar registers sessions.
type Registrar struct {
	Client       recfleetv1.AgentServiceClient
	Key          *bus.Key
	AgentVersion string
	// Remember, where it is set, gets every order of how to record.
	Remember func(spool.Settings) error
	Logger   hclog.Logger
}

// Register registers a session of the spool and writes the coordinator's answer there. It tries until ctx is done while the
// coordinator cannot be reached; ErrRefused and ErrCredentials are final. Idempotent.
func (r Registrar) Register(ctx context.Context, s *spool.Session) (bus.Grant, error) {
	answer, err := r.start(ctx, s)
	if err != nil {
		return bus.Grant{}, fmt.Errorf("start session: %w", err)
	}
	settings, err := settingsOf(answer)
	if err != nil {
		return bus.Grant{}, fmt.Errorf("start session: %w", err)
	}
	err = s.Update(func(reg *spool.Registration) {
		reg.SessionID, reg.Settings, reg.Notice = answer.GetSessionId(), settings, noticeOf(answer)
	})
	if err != nil {
		return bus.Grant{}, err
	}
	if r.Remember != nil {
		if err := r.Remember(settings); err != nil {
			r.Logger.Warn("settings not remembered", "error", err)
		}
	}
	r.Logger.Info("session registered", "session_id", answer.GetSessionId(), "frame_rate", settings.FrameRate,
		"segment_length", settings.SegmentLength)
	return bus.GrantFromProto(answer.GetBus()), nil
}

// start asks until there is an answer. An answer that was lost leaves a session that the coordinator gives up in time: where it
// says so, another one is asked for, once.
func (r Registrar) start(ctx context.Context, s *spool.Session) (*recfleetv1.StartSessionResponse, error) {
	backoff, moved := minBackoff, false
	for {
		reg := s.Registration()
		answer, err := call(ctx, r.request(reg), r.Client.StartSession)
		switch {
		case err == nil:
			return answer, nil
		case status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.PermissionDenied:
			return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
		case status.Code(err) == codes.FailedPrecondition && reg.Tried && !moved:
			moved = true
			if err := s.Update(func(reg *spool.Registration) { reg.RegisterAs = NewRequestID() }); err != nil {
				return nil, err
			}
			continue
		case errors.Is(err, ErrRefused):
			return nil, err
		}
		r.Logger.Warn("session not registered", "error", err)
		if !reg.Tried {
			if err := s.Update(func(reg *spool.Registration) { reg.Tried = true }); err != nil {
				return nil, err
			}
		}
		if !pause(ctx, backoff) {
			return nil, err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (r Registrar) request(reg spool.Registration) *recfleetv1.StartSessionRequest {
	id := reg.RequestID
	if reg.RegisterAs != "" {
		id = reg.RegisterAs
	}
	return &recfleetv1.StartSessionRequest{
		RequestId: id, User: reg.User, Stack: reg.Stack, Fleet: reg.Fleet, Instance: reg.Instance, Metadata: reg.Metadata,
		StartTime: timestamppb.New(reg.Start), Geometry: geometryProto(reg.Geometry),
		BusPublicKey: r.Key.Public(), AgentVersion: r.AgentVersion,
	}
}

// settingsOf checks what the coordinator orders before it is used.
func settingsOf(answer *recfleetv1.StartSessionResponse) (spool.Settings, error) {
	c := answer.GetSettings()
	s := spool.Settings{FrameRate: int(c.GetFrameRate()), SegmentLength: c.GetSegmentLength().AsDuration(),
		ChunkBytes: int(c.GetChunkBytes()), SegmentBytes: c.GetSegmentBytes()}
	if s.Mode = modes[c.GetMode()]; Mode(s.Mode) == Grace {
		s.Grace = c.GetGrace().AsDuration()
	}
	if s.SegmentBytes == 0 {
		s.SegmentBytes = spool.DefaultSegmentBytes
	}
	if s.ChunkBytes == 0 {
		s.ChunkBytes = chunk.MaxPayload
	}
	if !chunk.ValidSession(answer.GetSessionId()) {
		return s, fmt.Errorf("session id %q is none", answer.GetSessionId())
	}
	return s, s.Validate()
}

// maxNotice bounds the runes of a notice.
const maxNotice = 1024

// noticeOf returns what the user is to be told.
func noticeOf(answer *recfleetv1.StartSessionResponse) string {
	runes := []rune(answer.GetSettings().GetNotice())
	return string(runes[:min(len(runes), maxNotice)])
}
