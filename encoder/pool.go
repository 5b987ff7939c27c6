package encoder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	longPoll     = 10 * time.Second
	defaultLease = 30 * time.Second
	// answerTime is what a call may take beyond the waiting that was asked for.
	answerTime  = 10 * time.Second
	leastPause  = 200 * time.Millisecond
	longestWait = 5 * time.Second
	partingTime = 2 * time.Second
)

var (
	errLeaseLost = errors.New("lease was lost")
	errShutdown  = errors.New("encoder was shut down")
)

// pool is the encoder's state. Only the goroutine of run touches it, but for what held says.
type pool struct {
	cfg    Config
	client recfleetv1.EncoderServiceClient
	id     string
	ffmpeg string
	count  *counts
	link   busLink

	held     map[string]*held // leases that are believed in
	slots    *slots
	busy     int  // jobs whose goroutine runs, those with a lost lease among them
	draining bool // since ctx ended
	ordered  bool // the coordinator wants it to drain
	load     load
	accepted bool // the coordinator has answered once
	ready    bool // and the bus was reached
	failures int  // Syncs since the last answer
	renew    time.Duration
	nextSync time.Time

	syncing bool
	synced  chan syncResult
	ended   chan *held
}

// held is a job in work.
type held struct {
	id         string
	generation int64
	objectKey  string
	duration   time.Duration
	expires    time.Time // by the encoder's own clock
	lose       context.CancelCauseFunc
	frames     atomic.Int64
}

// syncResult is the outcome of one Sync with what it said.
type syncResult struct {
	request *recfleetv1.EncoderServiceSyncRequest
	sent    time.Time
	answer  *recfleetv1.EncoderServiceSyncResponse
	err     error
}

// run is the encoder's loop: one Sync at a time, and the ends of jobs as they come.
func (p *pool) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	shutdown, stopJobs := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopJobs(errShutdown)
	wake := time.NewTimer(0)
	defer wake.Stop()
	size := time.NewTicker(sizeEvery)
	defer size.Stop()
	drain, drained, stop := ctx.Done(), (<-chan time.Time)(nil), p.cfg.Stop

	for !p.parting() || p.busy > 0 {
		if now := time.Now(); !p.syncing && !now.Before(p.nextSync) {
			p.syncing = true
			request, sendCtx := p.request(now), ctx // draining interrupts a Sync that waits for work
			if p.draining {
				sendCtx = shutdown
			}
			running.Go(func() { p.synced <- p.sync(sendCtx, request) })
		}
		p.loseExpired(time.Now())
		wake.Reset(time.Until(p.wakeTime()))
		select {
		case <-drain:
			drain = nil
			p.draining = true
			p.cfg.Logger.Info("encoder drained", "jobs", p.busy)
			timer := time.NewTimer(p.cfg.DrainTime)
			defer timer.Stop()
			drained = timer.C
			p.nextSync = time.Now()
		case <-drained:
			stopJobs(errShutdown)
		case <-stop:
			stop = nil
			p.draining = true
			p.cfg.Logger.Info("encoder stopped", "jobs", p.busy)
			stopJobs(errShutdown)
		case result := <-p.synced:
			p.syncing = false
			if err := p.take(result); err != nil {
				return err
			}
			for _, lease := range result.answer.GetGranted() {
				p.start(shutdown, &running, lease)
			}
		case h := <-p.ended:
			p.setBusy(p.busy - 1)
			if p.held[h.id] == h {
				delete(p.held, h.id)
			}
			p.nextSync = time.Now()
		case now := <-size.C:
			if p.slots.size(now) && !p.parting() {
				p.nextSync = now
			}
			p.count.slots.Set(float64(p.slots.number))
		case <-wake.C:
		}
	}
	stopJobs(errShutdown)
	if p.syncing {
		<-p.synced
	}
	p.part(ctx)
	return nil
}

func (p *pool) setBusy(n int) {
	p.busy = n
	p.slots.note(time.Now(), n)
	p.count.busy.Set(float64(n))
}

// parting reports whether no more jobs are taken.
func (p *pool) parting() bool { return p.draining || p.ordered }

// wakeTime is when something is to be done though nothing happens.
func (p *pool) wakeTime() time.Time {
	at := time.Now().Add(time.Minute)
	if !p.syncing && p.nextSync.Before(at) {
		at = p.nextSync
	}
	for _, h := range p.held {
		if h.expires.Before(at) {
			at = h.expires
		}
	}
	return at
}

// request says how the encoder stands. It asks the coordinator to wait only where more work can be taken.
func (p *pool) request(now time.Time) *recfleetv1.EncoderServiceSyncRequest {
	r := &recfleetv1.EncoderServiceSyncRequest{
		EncoderId: p.id, Host: p.cfg.Host, Version: p.cfg.Version,
		BusPublicKey: p.link.wantedKey(now), Draining: p.parting(), Labels: p.cfg.Labels, Load: p.load.cores(now),
	}
	if p.link.reader != nil && !p.parting() {
		r.FreeSlots = int32(max(p.slots.number-p.busy, 0))
	}
	if r.FreeSlots > 0 {
		wait := longPoll
		if len(p.held) > 0 {
			wait = min(wait, p.renew)
		}
		r.MaxWait = durationpb.New(wait)
	}
	for _, h := range p.held {
		r.Held = append(r.Held, &recfleetv1.HeldLease{JobId: h.id, Generation: h.generation, FramesDone: h.frames.Load()})
	}
	return r
}

// sync calls the coordinator and puts a bus grant to use. While it runs, nobody else touches the link.
func (p *pool) sync(ctx context.Context, r *recfleetv1.EncoderServiceSyncRequest) syncResult {
	result := syncResult{request: r, sent: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, r.GetMaxWait().AsDuration()+answerTime)
	defer cancel()
	result.answer, result.err = p.client.Sync(ctx, r)
	if result.err == nil && result.answer.GetBus() != nil {
		if err := p.link.take(ctx, result.answer.GetBus()); err != nil {
			p.cfg.Logger.Warn("bus not reached", "error", err)
		}
	}
	return result
}

// take applies an answer and says when to ask again. The error is final.
func (p *pool) take(s syncResult) error {
	now := time.Now()
	if s.err != nil {
		return p.takeFailure(s, now)
	}
	if p.failures > 0 {
		p.cfg.Logger.Info("coordinator reached again", "tries", p.failures)
	}
	p.accepted, p.failures = true, 0
	if drain := s.answer.GetDrain(); drain != p.ordered {
		p.ordered = drain
		p.cfg.Logger.Info("drain order changed", "drain", drain, "jobs", p.busy)
	}
	if !p.ready && p.link.reader != nil {
		p.ready = true
		p.cfg.Ready()
	}
	p.renew = longPoll
	if d := s.answer.GetNextSync().AsDuration(); d > 0 {
		p.renew = min(p.renew, d)
	}
	for _, named := range s.request.GetHeld() {
		if h := p.held[named.GetJobId()]; h != nil && h.generation == named.GetGeneration() {
			h.expires = s.sent.Add(h.duration)
		}
	}
	for _, id := range s.answer.GetLostJobIds() {
		p.lose(id)
	}
	for _, h := range p.held {
		p.renew = min(p.renew, h.duration/3)
	}
	for _, l := range s.answer.GetGranted() {
		p.renew = min(p.renew, leaseDuration(l)/3)
	}
	switch {
	case p.link.reader == nil:
		p.nextSync = now.Add(jitter(time.Second))
	case p.parting() || p.busy+len(s.answer.GetGranted()) >= p.slots.number:
		p.nextSync = now.Add(p.renew)
	case len(s.answer.GetGranted()) == 0 && now.Sub(s.sent) < leastPause:
		p.nextSync = now.Add(jitter(2 * leastPause)) // a coordinator that does not wait is not to be flooded
	default:
		p.nextSync = now
	}
	return nil
}

func (p *pool) takeFailure(s syncResult, now time.Time) error {
	switch code := status.Code(s.err); {
	case code == codes.Canceled && !s.request.GetDraining():
		return nil // by draining; leases that the answer held are not named in the next one, and so taken back
	case !p.accepted && (code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.InvalidArgument || code == codes.Unimplemented):
		return fmt.Errorf("%w: the coordinator refused it: %w", ErrUnusable, s.err)
	}
	p.failures++
	if p.failures == 1 {
		p.cfg.Logger.Warn("coordinator not reached", "error", s.err)
	}
	p.nextSync = now.Add(backoff(p.failures))
	return nil
}

// lose stops the work of a lease at once.
func (p *pool) lose(id string) {
	h := p.held[id]
	if h == nil {
		return
	}
	h.lose(errLeaseLost)
	delete(p.held, id)
}

// loseExpired gives up leases that the coordinator cannot have renewed.
func (p *pool) loseExpired(now time.Time) {
	for id, h := range p.held {
		if !now.Before(h.expires) {
			p.lose(id)
		}
	}
}

// part tells the coordinator that nothing is held any more, so that it need not wait for leases to run out.
func (p *pool) part(ctx context.Context) {
	if !p.accepted {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
	defer cancel()
	p.draining = true
	r := p.request(time.Now())
	r.BusPublicKey = ""
	if _, err := p.client.Sync(ctx, r); err != nil {
		p.cfg.Logger.Debug("coordinator was not told of the end", "error", err)
	}
}

// backoff grows from leastPause to longestWait with the number of failures.
func backoff(failures int) time.Duration {
	return jitter(min(leastPause<<min(failures, 10), longestWait))
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
