// Package session keeps one session in step with the coordinator: it registers it, reports its events, publishes its chunks,
// and frees its part of the spool against receipts.
//
// In comes what the spool holds; out go orders to stop. What always holds: everything is told from the spool, so that a
// session that another process began is finished in the same way as a live one; events are reported in order; a segment is
// freed only by a receipt that names its hash chain; a session leaves the spool only when the coordinator knows of its end and
// every segment has its receipt.
package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/agent/publish"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

var (
	// ErrRefused says that the coordinator will have no more of the session. What is left of it stays in the spool.
	ErrRefused = errors.New("session refused by the coordinator")
	// ErrGivenUp is an ErrRefused of a session that was registered: the coordinator closed its books, as it does after a long
	// silence, or does not know it any more. What is left of it may become another session.
	ErrGivenUp = errors.New("session given up by the coordinator")
)

const (
	callTimeout  = 10 * time.Second
	defaultSync  = 2 * time.Second
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	eventsAtOnce = 100
)

// Config is what a session needs.
type Config struct {
	Spool  *spool.Session
	Client recfleetv1.AgentServiceClient
	Key    *bus.Key
	// Grant is the right to publish that came with the registration; without it, one is asked for.
	Grant *bus.Grant
	// Frames says how many frames were captured and when the last one was; nil where nothing is captured any more.
	Frames func() (int64, time.Time)
	// Idle says how long the desktop's user has done nothing; false where that is not known. It may be nil.
	Idle   func() (time.Duration, bool)
	Logger hclog.Logger
}

// Session is one registered session.
type Session struct {
	cfg       Config
	log       hclog.Logger
	publisher *publish.Publisher
	stop      chan string
	grants    chan bus.Grant // the newest that the bus connection does not have yet
	renew     atomic.Bool    // ask for a grant at once
	wake      chan struct{}
	acked     atomic.Int64

	// Below is talk's alone.
	renewAt  time.Time
	nextSync time.Time
	every    time.Duration
	awaiting int // segments that were awaiting their receipt at the last Sync
	backoff  time.Duration
}

// New makes a session of one that is registered; it starts nothing.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, log: cfg.Logger.With("session_id", cfg.Spool.Registration().SessionID),
		stop: make(chan string, 1), grants: make(chan bus.Grant, 1), wake: make(chan struct{}, 1), every: defaultSync}
	s.publisher = publish.New(publish.Config{Session: cfg.Spool, Refused: s.askGrant, Logger: s.log})
	if cfg.Grant != nil {
		s.granted(*cfg.Grant)
	} else {
		s.renew.Store(true)
	}
	return s
}

// Stop delivers the reason once when the coordinator orders the end of the recording.
func (s *Session) Stop() <-chan string { return s.stop }

// Durable is closed when the bus has the first chunk.
func (s *Session) Durable() <-chan struct{} { return s.publisher.First() }

// Published returns how many chunks the bus has acknowledged, and Reported how many events the coordinator has.
func (s *Session) Published() int64 { return s.publisher.Published() }

// Reported returns the number of the last event that the coordinator has.
func (s *Session) Reported() int64 { return s.acked.Load() }

// Run publishes and reports until everything of an ended session is in the server's custody, or ctx is done. It fails with
// ErrRefused, or where the spool cannot be read. To be called once.
func (s *Session) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	var published error
	group.Go(func() {
		defer cancel()
		published = s.publish(ctx)
	})
	err := s.talk(ctx)
	cancel()
	group.Wait()
	return errors.Join(err, published)
}

// Complete reports whether nothing of the session is left to do.
func (s *Session) Complete() bool {
	if !s.cfg.Spool.Registration().Ended {
		return false
	}
	for _, g := range s.cfg.Spool.Segments() {
		if g.State != spool.StateFreed {
			return false
		}
	}
	return true
}

// publish connects to the bus as soon as there is a grant, and publishes until ctx is done.
func (s *Session) publish(ctx context.Context) error {
	var p *bus.Publisher
	for backoff := minBackoff; p == nil; backoff = min(2*backoff, maxBackoff) {
		var g bus.Grant
		select {
		case <-ctx.Done():
			return nil
		case g = <-s.grants:
		}
		var err error
		if p, err = bus.DialPublisher(ctx, bus.ClientConfig{Key: s.cfg.Key, Grant: g, Logger: s.log.Named("bus")}); err != nil {
			s.log.Warn("bus not reached", "error", err)
			pause(ctx, backoff)
			s.keepGrant(g)
			if time.Now().After(g.Expires) {
				s.askGrant()
			}
		}
	}
	defer p.Close()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case g := <-s.grants:
				p.Renew(g)
			}
		}
	})
	return s.publisher.Run(ctx, p)
}

// keepGrant puts a grant back unless a newer one has come.
func (s *Session) keepGrant(g bus.Grant) {
	select {
	case s.grants <- g:
	default:
	}
}

// granted hands a new grant to the bus connection.
func (s *Session) granted(g bus.Grant) {
	select {
	case <-s.grants:
	default:
	}
	s.grants <- g
	s.renew.Store(false)
	s.renewAt = time.Now().Add(time.Until(g.Expires) * 2 / 3)
}

// askGrant has the next Sync ask for a new grant.
func (s *Session) askGrant() {
	s.renew.Store(true)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pause waits, half of the time by chance: agents that lost the same server do not come back at the same moment. It reports
// whether ctx is still not done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// talk speaks with the coordinator until the session is complete or ctx is done.
func (s *Session) talk(ctx context.Context) error {
	for {
		changed := s.cfg.Spool.Changed()
		err := s.exchange(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // calls that were cut off by the end are no failure
		case errors.Is(err, ErrRefused):
			return s.refused(err)
		case err != nil:
			s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
			s.log.Warn("coordinator not reached", "error", err)
			pause(ctx, s.backoff)
			continue
		case s.Complete():
			return nil
		}
		s.backoff = 0
		timer := time.NewTimer(time.Until(s.nextSync))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (s *Session) refused(err error) error {
	switch status.Code(err) {
	case codes.NotFound, codes.FailedPrecondition:
		err = fmt.Errorf("%w: %w", ErrGivenUp, err)
	}
	s.log.Error("session refused", "error", err)
	return errors.Join(err, s.cfg.Spool.Update(func(r *spool.Registration) { r.Refused = err.Error() }))
}

// exchange does what is due: report, end, Sync.
func (s *Session) exchange(ctx context.Context) error {
	if err := s.report(ctx); err != nil {
		return err
	}
	if err := s.end(ctx); err != nil {
		return err
	}
	var awaiting []int32
	for _, g := range s.cfg.Spool.Segments() {
		if g.State == spool.StatePublished {
			awaiting = append(awaiting, int32(g.Number))
		}
	}
	due := !time.Now().Before(s.nextSync) || len(awaiting) > s.awaiting || s.renew.Load() || time.Now().After(s.renewAt)
	s.awaiting = len(awaiting)
	if !due {
		return nil
	}
	return s.sync(ctx, awaiting)
}

// report delivers the events that the coordinator does not have.
func (s *Session) report(ctx context.Context) error {
	for {
		events, err := s.cfg.Spool.Events(s.acked.Load(), eventsAtOnce)
		if err != nil || len(events) == 0 {
			return err
		}
		batch := &recfleetv1.ReportEventsRequest{SessionId: s.cfg.Spool.Registration().SessionID}
		for _, e := range events {
			m, err := s.eventProto(e)
			if err != nil {
				return err
			}
			batch.Events = append(batch.Events, m)
		}
		answer, err := call(ctx, batch, s.cfg.Client.ReportEvents)
		if status.Code(err) == codes.OutOfRange {
			s.nextSync = time.Time{} // whose answer says from where to go on
			return nil
		}
		if err != nil {
			return fmt.Errorf("report events: %w", err)
		}
		s.acked.Store(max(answer.GetAcknowledgedThrough(), s.acked.Load()))
		if s.acked.Load() < events[len(events)-1].Number {
			return nil
		}
	}
}

// end tells the coordinator that capture is over, once every event was reported and what can be published was.
func (s *Session) end(ctx context.Context) error {
	r := s.cfg.Spool.Registration()
	if r.End.IsZero() || r.Ended || s.acked.Load() < s.cfg.Spool.LastEvent() {
		return nil
	}
	segments := s.cfg.Spool.Segments()
	_, err := call(ctx, &recfleetv1.EndSessionRequest{
		SessionId: r.SessionID, Reason: r.EndReason, EndTime: timestamppb.New(r.End),
		LastSegment: int32(len(segments)), LastEvent: s.cfg.Spool.LastEvent(),
	}, s.cfg.Client.EndSession)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	s.log.Info("session ended", "reason", r.EndReason, "segments", len(segments))
	return s.cfg.Spool.Update(func(r *spool.Registration) { r.Ended = true })
}

// sync says how the session stands and does what the answer says.
func (s *Session) sync(ctx context.Context, awaiting []int32) error {
	r := s.cfg.Spool.Registration()
	request := &recfleetv1.AgentServiceSyncRequest{SessionId: r.SessionID, AwaitingReceipt: awaiting}
	if s.cfg.Frames != nil {
		n, last := s.cfg.Frames()
		request.FrameCount = n
		if !last.IsZero() {
			request.LastFrameTime = timestamppb.New(last)
		}
	}
	if s.cfg.Idle != nil {
		if idle, known := s.cfg.Idle(); known {
			request.UserIdle = durationpb.New(idle)
		}
	}
	for _, g := range s.cfg.Spool.Segments() {
		if g.State != spool.StateFreed {
			request.SpooledBytes += g.Bytes
		}
	}
	if s.renew.Load() || time.Now().After(s.renewAt) {
		request.RenewBus, request.BusPublicKey = true, s.cfg.Key.Public()
	}
	answer, err := call(ctx, request, s.cfg.Client.Sync)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if d := answer.GetNextSync().AsDuration(); d > 0 {
		s.every = d
	}
	s.nextSync = time.Now().Add(s.every)
	s.acked.Store(answer.GetAcknowledgedThrough())
	s.obey(answer)
	return nil
}

func (s *Session) obey(answer *recfleetv1.AgentServiceSyncResponse) {
	if answer.GetBus() != nil {
		s.granted(bus.GrantFromProto(answer.GetBus()))
	}
	for _, m := range answer.GetMissing() {
		missing := publish.Missing{Segment: int(m.GetSegment())}
		for _, seq := range m.GetSeqs() {
			missing.Seqs = append(missing.Seqs, int(seq))
		}
		s.publisher.Again(missing)
	}
	for _, r := range answer.GetReceipts() {
		chain, err := chunk.ParseHash(r.GetChainEnd())
		if err == nil {
			err = s.cfg.Spool.Free(int(r.GetSegment()), int(r.GetChunkCount()), chain)
		}
		if err != nil {
			s.log.Error("receipt not accepted", "segment", r.GetSegment(), "error", err)
		}
	}
	if o := answer.GetStop(); o != nil {
		select {
		case s.stop <- o.GetReason():
		default:
		}
	}
}
