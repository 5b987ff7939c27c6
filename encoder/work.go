package encoder

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/encoder/worker"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// start begins the job of a lease that was just granted. A lease that cannot be taken is passed over: it is
// not named in the next Sync, and so taken back.
func (p *pool) start(shutdown context.Context, running *sync.WaitGroup, lease *recfleetv1.Lease) {
	id := lease.GetJobId()
	if p.parting() || p.busy >= p.slots.number || p.held[id] != nil {
		p.cfg.Logger.Warn("lease not taken", "job_id", id, "generation", lease.GetGeneration())
		return
	}
	// Ends when the lease is lost; work under it ends with the encoder too.
	leased, lose := context.WithCancelCause(context.WithoutCancel(shutdown))
	h := &held{
		id: id, generation: lease.GetGeneration(), objectKey: lease.GetObjectKey(),
		duration: leaseDuration(lease), lose: lose,
	}
	h.expires = time.Now().Add(h.duration)
	p.held[id] = h
	p.setBusy(p.busy + 1)
	w := worker.New(worker.Config{
		Reader: p.link.reader, Archive: p.cfg.Store, WorkDir: p.cfg.WorkDir, Stall: p.cfg.Stall,
		Logger: p.cfg.Logger.Named("worker").With("job_id", id),
	})
	running.Go(func() {
		defer func() { p.ended <- h }()
		defer lose(nil)
		working, stop := context.WithCancelCause(leased)
		defer stop(nil)
		defer context.AfterFunc(shutdown, func() { stop(context.Cause(shutdown)) })()
		p.work(working, leased, w, h, lease)
	})
}

// work does one job and reports its end. working ends with the lease or the encoder, leased only with the lease.
func (p *pool) work(working, leased context.Context, w *worker.Worker, h *held, lease *recfleetv1.Lease) {
	logger := p.cfg.Logger.With("job_id", h.id, "generation", h.generation)
	logger.Info("job started", "attempt", lease.GetAttempt())
	began := time.Now()
	job, err := jobFromProto(lease)
	var result worker.Result
	if err == nil {
		result, err = w.Run(working, job, h.frames.Store)
	} else {
		err = &worker.Failure{Cause: worker.Content, Err: err}
	}
	if err == nil {
		err = p.report(working, leased, func(ctx context.Context) error {
			r := resultToProto(h, result)
			r.EncoderId, r.EncoderVersion, r.FfmpegVersion = p.id, p.cfg.Version, p.ffmpeg
			_, err := p.client.CompleteJob(ctx, r)
			return err
		})
		if err == nil {
			p.count.completed(result)
			logger.Info("job completed", "captured", result.Captured, "frames", result.Frames, "bytes", result.Bytes, "took", time.Since(began).Round(time.Millisecond))
			return
		}
	}
	if errors.Is(err, errLeaseLost) {
		p.count.ended(resultLost, 1)
		logger.Warn("lease lost", "frames", h.frames.Load())
		return
	}
	cause := worker.Encoder
	if failure := (*worker.Failure)(nil); errors.As(err, &failure) {
		cause = failure.Cause
	}
	p.count.ended(cause.String(), 1)
	logger.Warn("job failed", "cause", cause.String(), "error", err)
	reason := detail(err)
	err = p.report(working, leased, func(ctx context.Context) error {
		_, err := p.client.FailJob(ctx, &recfleetv1.FailJobRequest{
			JobId: h.id, Generation: h.generation, Cause: causeToProto(cause), Detail: reason, EncoderId: p.id,
		})
		return err
	})
	if err != nil {
		logger.Warn("job was not given back", "error", err)
	}
}

// report makes a call that the coordinator must hear, again and again until the lease is lost; once the encoder is being
// shut down, only once more.
func (p *pool) report(working, leased context.Context, call func(context.Context) error) error {
	for failures := 1; ; failures++ {
		last := working.Err() != nil
		ctx, cancel := context.WithTimeout(leased, answerTime)
		err := call(ctx)
		cancel()
		switch code := status.Code(err); {
		case err == nil:
			return nil
		case leased.Err() != nil, code == codes.FailedPrecondition, code == codes.NotFound:
			return errLeaseLost
		case last, code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.ResourceExhausted && code != codes.Aborted:
			return err
		}
		pause := time.NewTimer(backoff(failures))
		select {
		case <-pause.C:
		case <-working.Done():
			pause.Stop()
		}
	}
}

// maxDetail bounds what is told of a failure.
const maxDetail = 500

// detail makes one printable line of an error.
func detail(err error) string {
	line := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "?"))
	if len(line) > maxDetail {
		line = strings.ToValidUTF8(line[:maxDetail], "")
	}
	return line
}
