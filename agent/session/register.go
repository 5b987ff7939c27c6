package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

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

// defaultSegmentBytes bounds a segment where the coordinator sets no bound: the bus holds each one whole.
const defaultSegmentBytes = 512 << 20

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
	Logger       hclog.Logger
}

// Register registers a session of the spool and writes the coordinator's answer there. It tries until ctx is done while the
// coordinator cannot be reached; ErrRefused and ErrCredentials are final. Idempotent.
func (r Registrar) Register(ctx context.Context, s *spool.Session) (bus.Grant, error) {
	reg := s.Registration()
	request := &recfleetv1.StartSessionRequest{
		RequestId: reg.RequestID, User: reg.User, Stack: reg.Stack, Fleet: reg.Fleet, Instance: reg.Instance, Metadata: reg.Metadata,
		StartTime: timestamppb.New(reg.Start), Geometry: geometryProto(reg.Geometry),
		BusPublicKey: r.Key.Public(), AgentVersion: r.AgentVersion,
	}
	answer, err := r.start(ctx, request)
	if err != nil {
		return bus.Grant{}, fmt.Errorf("start session: %w", err)
	}
	settings, err := settingsOf(answer)
	if err != nil {
		return bus.Grant{}, fmt.Errorf("start session: %w", err)
	}
	err = s.Update(func(reg *spool.Registration) {
		reg.SessionID, reg.Settings = answer.GetSessionId(), settings
	})
	if err != nil {
		return bus.Grant{}, err
	}
	r.Logger.Info("session registered", "session_id", answer.GetSessionId(), "frame_rate", settings.FrameRate,
		"segment_length", settings.SegmentLength)
	return bus.GrantFromProto(answer.GetBus()), nil
}

func (r Registrar) start(ctx context.Context, request *recfleetv1.StartSessionRequest) (*recfleetv1.StartSessionResponse, error) {
	backoff := minBackoff
	for {
		answer, err := call(ctx, request, r.Client.StartSession)
		switch {
		case err == nil:
			return answer, nil
		case status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.PermissionDenied:
			return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
		case errors.Is(err, ErrRefused):
			return nil, err
		}
		r.Logger.Warn("session not registered", "error", err)
		timer := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// settingsOf checks what the coordinator orders before it is used.
func settingsOf(answer *recfleetv1.StartSessionResponse) (spool.Settings, error) {
	c := answer.GetSettings()
	s := spool.Settings{FrameRate: int(c.GetFrameRate()), SegmentLength: c.GetSegmentLength().AsDuration(),
		ChunkBytes: int(c.GetChunkBytes()), SegmentBytes: c.GetSegmentBytes()}
	if s.SegmentBytes == 0 {
		s.SegmentBytes = defaultSegmentBytes
	}
	if s.ChunkBytes == 0 {
		s.ChunkBytes = chunk.MaxPayload
	}
	switch {
	case !chunk.ValidSession(answer.GetSessionId()):
		return s, fmt.Errorf("session id %q is none", answer.GetSessionId())
	case s.FrameRate < 1 || s.FrameRate > 60:
		return s, fmt.Errorf("frame rate %d is not 1 to 60", s.FrameRate)
	case s.SegmentLength < time.Second || s.SegmentLength > time.Hour:
		return s, fmt.Errorf("segment length %s is not 1s to 1h", s.SegmentLength)
	case s.ChunkBytes < 1024 || s.ChunkBytes > chunk.MaxPayload:
		return s, fmt.Errorf("chunk size %d is not 1024 to %d", s.ChunkBytes, chunk.MaxPayload)
	case s.SegmentBytes < 0:
		return s, fmt.Errorf("segment size %d is below 0", s.SegmentBytes)
	}
	return s, nil
}
