// Package api is the coordinator's gRPC side.
//
// What comes in are calls whose right was checked; what goes out are the answers of the packages that know: sessions,
// jobs, catalog, archive. What always holds: every field of a request is checked here before anything else sees it, and
// one that is wrong is named in one line; wire types stop here (convert.go); codes are set in one place (status.go);
// what is wrong inside the server goes to the log and not to the caller.
package api

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/decode"
	"github.com/recfleet/recfleet/coordinator/enroll"
	"github.com/recfleet/recfleet/coordinator/jobs"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/shield"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	maxMessage = 4 << 20
	maxHeaders = 16 << 10
	maxStreams = 1000
	// callTimeout bounds a call; an encoder's Sync waits on top of it.
	callTimeout = 20 * time.Second
	// verifyTimeout bounds the one that reads millions of records.
	verifyTimeout = 15 * time.Minute
	// writeBuffer holds most answers wholly, and half a frame of a download.
	writeBuffer = 8 << 10
	// window is how much of its requests a client may send before it was read: all that agents say at once.
	window = 256 << 10
	// pingsFrom is how often a client may ping; clients of this product ping less often.
	pingsFrom = 5 * time.Second
)

// EncoderGrants hands out rights to read chunks; see bus.Broker.
type EncoderGrants interface {
	GrantEncoder(publicKey, encoder string) (bus.Grant, error)
}

// EncodeSettings is how encoders are to make mp4s.
type EncodeSettings struct {
	Preset           string
	CRF              int
	KeyframeInterval time.Duration
	// ThumbnailInterval is the time between two thumbnails.
	ThumbnailInterval time.Duration
	// Of a session's policy only; 0 where it says nothing.
	Bitrate                           int64
	MaxFrameRate, MaxWidth, MaxHeight int
}

// Calls counts calls.
type Calls interface {
	Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error)
	Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error
}

// Config is what the services need.
type Config struct {
	Catalog  *catalog.Catalog
	Sessions *sessions.Sessions
	Board    *jobs.Board
	Enroll   *enroll.Enroll
	Grants   EncoderGrants
	Store    object.Store
	Location object.Location
	Access   *access.Control
	// Book is the access file as it is now; nil for none.
	Book func() *access.Book
	// SignIn is how people sign in; nil where they do with tokens only.
	SignIn *recfleetv1.GetSignInResponse
	// Credentials of the transport.
	Credentials credentials.TransportCredentials
	Encode      EncodeSettings
	Lease       time.Duration
	// Health answers gRPC's health service; one that always serves where it is nil.
	Health grpc_health_v1.HealthServer
	// Calls, where it is set, sees every call with the code that it ended with.
	Calls Calls
	// Heads returns hashes of audit records that the archive has; nil where there is none.
	Heads func(ctx context.Context) (map[int64]chunk.Hash, error)
	// Keys are the one that manifests are signed with, and those before.
	Keys Keys
	// Deleted is called after a deletion was ordered.
	Deleted func()
	// Heard is called with what an agent says of itself.
	Heard func(catalog.Beat)
	// Closing is closed when calls that have no end are to end.
	Closing <-chan struct{}
	Logger  hclog.Logger
}

// NewServer returns a gRPC server with all services and gRPC's health and reflection services; it serves nothing yet. It is
// access.ErrUndeclared where a method has no declared right.
func NewServer(cfg Config) (*grpc.Server, error) {
	g := guard{logger: cfg.Logger}
	options := []grpc.ServerOption{grpc.ForceServerCodecV2(decode.Codec()), grpc.ChainStreamInterceptor(decode.Stream)}
	if cfg.Calls != nil { // the first one named is the outermost
		options = append(options, grpc.ChainUnaryInterceptor(cfg.Calls.Unary), grpc.ChainStreamInterceptor(cfg.Calls.Stream))
	}
	rates := shield.NewCalls(time.Now)
	s := grpc.NewServer(append(options,
		grpc.Creds(cfg.Credentials),
		grpc.ChainUnaryInterceptor(rates.Unary, g.unary, cfg.Access.Unary),
		grpc.ChainStreamInterceptor(rates.Stream, g.stream, cfg.Access.Stream),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxHeaderListSize(maxHeaders), grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsFrom, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.ConnectionTimeout(10*time.Second),
		// A TLS connection buffers by itself what it has read; 32 KiB more for each agent are of no use.
		grpc.ReadBufferSize(0),
		// One for each agent that is being answered: what they are told is short.
		grpc.WriteBufferSize(writeBuffer),
		// A window that does not grow: to find out how far it should would take a ping for each request.
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		// Headers are read as they come. A table of them, which each connection would keep, fills up with the deadlines, of which
		// each call has another.
		grpc.HeaderTableSize(0),
	)...)
	services := decode.Services{Server: s}
	book := ledger{audit: cfg.Catalog, viewings: viewing.New(cfg.Catalog, time.Now)}
	if cfg.Book == nil {
		cfg.Book = func() *access.Book { return nil }
	}
	people := &sessionService{
		catalog: cfg.Catalog, sessions: cfg.Sessions, location: cfg.Location, ledger: book, logger: cfg.Logger, deleted: cfg.Deleted, closing: cfg.Closing,
		book: cfg.Book,
	}
	recfleetv1.RegisterSessionServiceServer(services, people)
	recfleetv1.RegisterApprovalServiceServer(services, &approvalService{sessions: people})
	recfleetv1.RegisterRecordingServiceServer(services, &recordingService{
		catalog: cfg.Catalog, store: cfg.Store, location: cfg.Location, ledger: book, logger: cfg.Logger, keys: cfg.Keys, wanted: cfg.Board.Want,
	})
	recfleetv1.RegisterJobServiceServer(services, &jobService{catalog: cfg.Catalog, board: cfg.Board, ledger: book, logger: cfg.Logger})
	recfleetv1.RegisterFleetServiceServer(services, &fleetService{catalog: cfg.Catalog, board: cfg.Board, ledger: book, logger: cfg.Logger})
	recfleetv1.RegisterAuditServiceServer(services, &auditService{catalog: cfg.Catalog, heads: cfg.Heads})
	recfleetv1.RegisterAccessServiceServer(services, &accessService{catalog: cfg.Catalog, book: cfg.Book, signIn: cfg.SignIn, ledger: book, logger: cfg.Logger})
	recfleetv1.RegisterAgentServiceServer(services, &agentService{sessions: cfg.Sessions, owners: newOwners(cfg.Catalog), heard: cfg.Heard})
	recfleetv1.RegisterEnrollmentServiceServer(services, &enrollmentService{enroll: cfg.Enroll, catalog: cfg.Catalog, ledger: book})
	recfleetv1.RegisterEncoderServiceServer(services, &encoderService{board: cfg.Board, grants: cfg.Grants, settings: cfg.Encode, lease: cfg.Lease})
	recfleetv1.RegisterPolicyServiceServer(services, &policyService{sessions: cfg.Sessions, encode: cfg.Encode})
	if cfg.Health == nil {
		cfg.Health = health.NewServer()
	}
	grpc_health_v1.RegisterHealthServer(s, cfg.Health)
	reflection.Register(s)
	return s, cfg.Access.Covers(s.GetServiceInfo())
}

// guard stands around every call: it bounds its time, turns its error into a code, and survives its panic.
type guard struct{ logger hclog.Logger }

func (g guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	limit := callTimeout
	if info.FullMethod == recfleetv1.EncoderService_Sync_FullMethodName {
		limit += maxWait
	}
	if info.FullMethod == recfleetv1.AuditService_VerifyAudit_FullMethodName {
		limit = verifyTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() { err = g.settle(info.FullMethod, named(req, err), recover()) }()
	return next(ctx, req)
}

func (g guard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	asked := &heard{ServerStream: stream}
	defer func() { err = g.settle(info.FullMethod, named(asked.request, err), recover()) }()
	return next(srv, asked)
}

func (g guard) settle(method string, err error, panicked any) error {
	if panicked != nil {
		g.logger.Error("call panicked", "method", method, "panic", panicked, "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "the server has a defect; its log says more")
	}
	answer, told := toStatus(err)
	if !told {
		g.logger.Warn("call was not served", "method", method, "error", err)
	}
	return answer
}
