// Package jobs hands the encoding of segments out to encoders and takes the results back. What is most urgent goes first,
// sessions take turns, and an encoder gets what is for its pools.
//
// What comes in are the encoders' Syncs and reports; what goes out are leases. What always holds: a job is with one encoder
// at a time, under a generation that every report must carry; a lease that is not renewed runs out and the job is
// rescued; three attempts that fail on content quarantine a segment, as do five leases that ran out, and nothing else ever does.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/videosize"
)

const (
	// maxFailures is how many attempts may fail on content.
	maxFailures = 3
	// maxRescues is how many leases may run out: a segment that kills its encoder must not kill them all for ever.
	maxRescues = 5
	// recheck is how often a waiting Sync looks for work nobody announced: what becomes due by time, or was made by another
	// coordinator.
	recheck = time.Second
	// rescueEvery is how often leases are looked at.
	rescueEvery = time.Second
	maxGrant    = 64
	// seeEvery is how often an encoder is written down that says nothing new.
	seeEvery = 30 * time.Second
	// anyPool has the jobs that every encoder may take.
	anyPool = ""
	// standstill is the longest time between two steps in which encoders could be heard all the while.
	standstill = 5 * time.Second

	firstBackoff = 2 * time.Second
	maxBackoff   = time.Minute
)

// ErrMismatch says that a result does not fit its segment; the text names the field.
var ErrMismatch = errors.New("does not fit the segment")

// Archive tells what lies in the archive; see object.Store.
type Archive interface {
	StatVersion(ctx context.Context, key, version string) (object.Info, error)
}

// Config is what a Board needs.
type Config struct {
	Catalog *catalog.Catalog
	Archive Archive
	// Lease is how long a lease lasts without a Sync that names it.
	Lease time.Duration
	// Ended is called after a segment was archived or quarantined.
	Ended  func()
	Logger hclog.Logger
}

// Board is where jobs hang until an encoder takes them. It is safe for concurrent use.
type Board struct {
	cfg     Config
	stopped chan struct{}

	heard   time.Time // since when encoders could be heard; only Step touches it
	stepped time.Time // the last step

	mu     sync.Mutex
	added  chan struct{}        // closed, and replaced, when a job is added
	wishes map[string]time.Time // when somebody asked for a segment; by job
}

// New returns a board.
func New(cfg Config) *Board {
	return &Board{cfg: cfg, heard: time.Now(), stopped: make(chan struct{}), added: make(chan struct{}), wishes: map[string]time.Time{}}
}

// Announce wakes the Syncs that wait for work.
func (b *Board) Announce() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.added)
	b.added = make(chan struct{})
}

func (b *Board) announced() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.added
}

// Encoder is how an encoder stands.
type Encoder struct {
	ID            string
	Host, Version string
	Labels        []string // the pools that it serves beside that for any encoder
	Load          float64  // cores in use
	Free          int      // jobs it can take
	Held          []catalog.Held
	Wait          time.Duration // how long to wait where nothing is to be said
	Draining      bool
}

// Answer is what an encoder is told.
type Answer struct {
	Granted []catalog.Leased
	Lost    []string // jobs whose lease it holds no more
	Drain   bool     // it is to take no more
}

// Sync renews the encoder's leases and returns those it has lost and new ones. It blocks for up to e.Wait while there is
// nothing to return, but never so long that a held lease could run out. Each call leases anew.
func (b *Board) Sync(ctx context.Context, e Encoder) (Answer, error) {
	now := time.Now()
	known, err := b.cfg.Catalog.SeeEncoder(ctx, catalog.Encoder{
		ID: e.ID, Host: e.Host, Version: e.Version, Labels: e.Labels, Slots: max(e.Free, 0) + len(e.Held), Running: len(e.Held), Load: e.Load,
		Draining: e.Draining, Seen: now,
	}, seeEvery)
	if err != nil {
		return Answer{}, err
	}
	lost, takenBack, err := b.cfg.Catalog.RenewLeases(ctx, e.ID, e.Held, now, now.Add(b.cfg.Lease))
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Lost: lost, Drain: !known.DrainOrdered.IsZero()}
	for _, j := range takenBack {
		b.cfg.Logger.Info("job taken back", "job_id", j.ID, "encoder_id", e.ID, "generation", j.Generation)
	}
	if len(takenBack) > 0 {
		b.Announce()
	}
	if e.Draining || answer.Drain || e.Free < 1 {
		e.Free = 0
	}
	wait := e.Wait
	if answer.Drain && !e.Draining {
		wait = 0
	}
	if len(e.Held) > 0 {
		wait = min(wait, b.cfg.Lease/3)
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		announced := b.announced()
		if err = b.lease(ctx, e, &answer); err != nil || len(answer.Granted) > 0 || len(lost) > 0 || wait <= 0 {
			return answer, err
		}
		again, err := b.await(ctx, announced, deadline.C)
		if err != nil || !again {
			return answer, err
		}
		if drain, err := b.ordered(ctx, e, announced); err != nil || drain {
			answer.Drain = answer.Drain || drain
			return answer, err
		}
	}
}

// ordered reports whether an encoder that waits was ordered to drain meanwhile. It asks the catalog only where something was
// announced here: an order that another coordinator took reaches the encoder with its next Sync.
func (b *Board) ordered(ctx context.Context, e Encoder, announced <-chan struct{}) (bool, error) {
	select {
	case <-announced:
	default:
		return false, nil
	}
	known, err := b.cfg.Catalog.Encoder(ctx, e.ID)
	return !known.DrainOrdered.IsZero() && !e.Draining, err
}

// await blocks until there may be work; it returns false when it is time to answer.
func (b *Board) await(ctx context.Context, announced <-chan struct{}, deadline <-chan time.Time) (bool, error) {
	again := time.NewTimer(recheck)
	defer again.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-b.stopped:
		return false, nil
	case <-deadline:
		return false, nil
	case <-announced:
		return true, nil
	case <-again.C:
		return true, nil
	}
}

func (b *Board) lease(ctx context.Context, e Encoder, answer *Answer) error {
	now := time.Now()
	if e.Free == 0 {
		return nil
	}
	pools := append([]string{anyPool}, e.Labels...)
	if ok, err := b.cfg.Catalog.HasWork(ctx, now, pools...); err != nil || !ok {
		return err
	}
	granted, err := b.cfg.Catalog.Lease(ctx, catalog.Lease{
		Encoder: e.ID, Pools: pools, Limit: min(e.Free, maxGrant), Now: now, Until: now.Add(b.cfg.Lease),
	})
	if err != nil {
		return err
	}
	for _, l := range granted {
		b.cfg.Logger.Info("job leased", "job_id", l.Job.ID, "encoder_id", e.ID, "generation", l.Job.Generation, "attempt", l.Job.Failures+1)
	}
	answer.Granted = granted
	return nil
}

// ObjectKey is where the mp4 of a segment goes that is made under a generation of its lease. Every generation has a key of
// its own: the archive never overwrites, so that what an encoder left that died before its report, or wrote after its lease
// was lost, can neither stand in the way of the next one nor be taken for its work. Only the key in the catalog counts.
func ObjectKey(prefix string, segment int, generation int64) string {
	if generation <= 1 {
		return fmt.Sprintf("%svideo-%06d.mp4", prefix, segment)
	}
	return fmt.Sprintf("%svideo-%06d.g%d.mp4", prefix, segment, generation)
}

// ThumbnailKeys returns where the thumbnails of the mp4 with a key go, the picture and its index.
func ThumbnailKeys(objectKey string) (sprite, index string) {
	base := strings.TrimSuffix(objectKey, ".mp4")
	return base + ".thumbnails.jpg", base + ".thumbnails.vtt"
}

// Complete commits an archived mp4 that was made of so many captured frames. It is catalog.ErrLeaseLost where the lease is not, or no longer, this one, and
// ErrMismatch where the mp4 cannot be the segment's or is not in the archive. Idempotent for the same lease and result.
func (b *Board) Complete(ctx context.Context, id string, generation, captured int64, r catalog.Recording) error {
	l, err := b.cfg.Catalog.Job(ctx, id)
	if err != nil {
		return err
	}
	if err := fits(l, generation, captured, r); err != nil {
		return err
	}
	if err := b.archived(ctx, &r); err != nil {
		return fmt.Errorf("complete job %s: %w", id, err)
	}
	if err := b.cfg.Catalog.CompleteJob(ctx, id, generation, r); err != nil {
		return err
	}
	b.cfg.Logger.Info("segment archived", "session_id", l.Job.Session, "segment", l.Job.Segment, "object_key", r.ObjectKey, "bytes", r.Bytes,
		"encoder_id", r.EncoderID)
	b.cfg.Ended()
	return nil
}

// fits compares a result of a generation with its segment.
func fits(l catalog.Leased, generation, captured int64, r catalog.Recording) error {
	want := l.Seal.End.Sub(l.Seal.Start)
	frame := time.Second / time.Duration(max(l.FrameRate, 1))
	const rounding = 2 * time.Millisecond // of the mp4's time base
	sprite, index := ThumbnailKeys(r.ObjectKey)
	width, height, _ := videosize.Fit(l.Seal.Width, l.Seal.Height, l.Encode.MaxWidth, l.Encode.MaxHeight)
	switch {
	case r.ObjectKey != ObjectKey(l.ArchivePrefix, l.Job.Segment, generation):
		return fmt.Errorf("object_key: is not the one that was leased: %w", ErrMismatch)
	case r.Thumbnails != (catalog.Thumbnails{}) && (r.Thumbnails.Sprite.Key != sprite || r.Thumbnails.Index.Key != index):
		return fmt.Errorf("thumbnails: object_key: is not the one that was leased: %w", ErrMismatch)
	case captured != l.Seal.Frames:
		return fmt.Errorf("captured_frame_count: %d instead of %d: %w", captured, l.Seal.Frames, ErrMismatch)
	case r.Frames > captured: // the encoder has compared those that it made with those in the mp4
		return fmt.Errorf("frame_count: %d of %d captured: %w", r.Frames, captured, ErrMismatch)
	case r.Width != width:
		return fmt.Errorf("width: %d instead of %d: %w", r.Width, width, ErrMismatch)
	case r.Height != height:
		return fmt.Errorf("height: %d instead of %d: %w", r.Height, height, ErrMismatch)
	case (r.Duration - want).Abs() > frame+rounding:
		return fmt.Errorf("duration: %v instead of %v: %w", r.Duration, want, ErrMismatch)
	}
	return nil
}

// archived makes sure that what was reported is where the coordinator will look for it: after this its source is dropped. It fills in
// the versions that the encoder could not know.
func (b *Board) archived(ctx context.Context, r *catalog.Recording) error {
	video := catalog.Object{Key: r.ObjectKey, Version: r.ObjectVersion, Bytes: r.Bytes, SHA256: r.SHA256}
	err := b.inArchive(ctx, "", &video)
	r.ObjectVersion = video.Version
	if err != nil || r.Thumbnails == (catalog.Thumbnails{}) {
		return err
	}
	if err := b.inArchive(ctx, "thumbnails.sprite.", &r.Thumbnails.Sprite); err != nil {
		return err
	}
	return b.inArchive(ctx, "thumbnails.index.", &r.Thumbnails.Index)
}

// inArchive looks at one object, whose fields have the prefix at in reports.
func (b *Board) inArchive(ctx context.Context, at string, o *catalog.Object) error {
	info, err := b.cfg.Archive.StatVersion(ctx, o.Key, o.Version)
	switch {
	case errors.Is(err, object.ErrNotFound):
		return fmt.Errorf("%sobject_key: nothing is archived there; do encoder and coordinator have the same archive?: %w", at, ErrMismatch)
	case err != nil:
		return err
	case info.Bytes != o.Bytes:
		return fmt.Errorf("%sbytes: %d instead of %d: %w", at, o.Bytes, info.Bytes, ErrMismatch)
	case !info.SHA256.IsZero() && info.SHA256 != object.Digest(o.SHA256):
		return fmt.Errorf("%ssha256: %s instead of %s: %w", at, o.SHA256, info.SHA256, ErrMismatch)
	}
	if o.Version == "" {
		o.Version = info.Version
	}
	return nil
}

// Fail gives a job back. content says that the segment itself is at fault; only that counts.
func (b *Board) Fail(ctx context.Context, id string, generation int64, encoder string, content bool, detail string) error {
	f := catalog.Failure{Encoder: encoder, Content: content, Detail: detail, Limit: maxFailures, Backoff: backoff}
	j, err := b.cfg.Catalog.FailJob(ctx, id, generation, f, time.Now())
	if err != nil {
		return err
	}
	if j.State == catalog.JobQuarantined {
		b.cfg.Logger.Error("segment quarantined", "session_id", j.Session, "segment", j.Segment, "cause", catalog.CauseContent,
			"failures", j.Failures, "detail", detail)
		b.cfg.Ended()
		return nil
	}
	b.cfg.Logger.Warn("job failed", "job_id", id, "encoder_id", encoder, "content", content, "failures", j.Failures, "setbacks", j.Setbacks,
		"detail", detail, "next_attempt", j.Available)
	return nil
}

// backoff doubles from failure to failure; its half is random, so that what failed together does not return together.
func backoff(n int) time.Duration {
	d := min(firstBackoff<<min(max(n-1, 0), 16), maxBackoff)
	return d/2 + rand.N(d/2)
}

// rescueBackoff gives a job out again at once after its first rescue: encoders are stopped for many reasons. From the second
// on it waits, so that the jobs that were lost together with one that kills its encoder go on without it.
func rescueBackoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return backoff(n - 1)
}

// Step rescues the jobs whose leases have run out. Leases from before the coordinator started, or went on after it stood still,
// get their full time from then: their encoders could not renew them while it was away. It is not to be called twice at a time.
func (b *Board) Step(ctx context.Context) error {
	now := time.Now()
	if !b.stepped.IsZero() && now.Sub(b.stepped) > standstill {
		b.heard = now
	}
	b.stepped = now
	if now.Sub(b.heard) < b.cfg.Lease {
		return nil
	}
	rescued, err := b.cfg.Catalog.RescueJobs(ctx, time.Now(), catalog.Rescue{Limit: maxRescues, Backoff: rescueBackoff})
	if err != nil {
		return err
	}
	for _, j := range rescued {
		if j.State == catalog.JobQuarantined {
			b.cfg.Logger.Error("segment quarantined", "session_id", j.Session, "segment", j.Segment, "cause", catalog.CauseEncoderLost,
				"rescues", j.Rescues, "detail", j.Detail)
			b.cfg.Ended()
			continue
		}
		b.cfg.Logger.Warn("job rescued", "job_id", j.ID, "encoder_id", j.Encoder, "generation", j.Generation, "rescues", j.Rescues)
	}
	if len(rescued) > 0 {
		b.Announce()
	}
	return nil
}

// Run blocks until ctx is done; then the Syncs that wait are answered at once. Call it once.
func (b *Board) Run(ctx context.Context) error {
	defer close(b.stopped)
	<-ctx.Done()
	return nil
}

// Rescue repeats Step until ctx is done. One coordinator does it for all.
func (b *Board) Rescue(ctx context.Context) error {
	return duty.Duty{Every: rescueEvery, Step: b.Step, Logger: b.cfg.Logger}.Run(ctx)
}
