package coordinator

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/api"
	"github.com/recfleet/recfleet/coordinator/appstream"
	"github.com/recfleet/recfleet/coordinator/beats"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/digest"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/enroll"
	"github.com/recfleet/recfleet/coordinator/finish"
	"github.com/recfleet/recfleet/coordinator/front"
	"github.com/recfleet/recfleet/coordinator/ingest"
	"github.com/recfleet/recfleet/coordinator/jobs"
	"github.com/recfleet/recfleet/coordinator/oidc"
	opsmetrics "github.com/recfleet/recfleet/coordinator/ops/metrics"
	"github.com/recfleet/recfleet/coordinator/purge"
	"github.com/recfleet/recfleet/coordinator/refusals"
	"github.com/recfleet/recfleet/coordinator/retention"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/coordinator/watch"
)

// parts are what runs.
type parts struct {
	control  *access.Control
	provider *oidc.Provider // nil where people sign in with tokens only
	refusals *refusals.Book
	enroll   *enroll.Enroll

	custody   *ingest.Ingest
	board     *jobs.Board
	beats     *beats.Beats
	watch     *watch.Watch
	appstream *appstream.Watch // nil without a policy

	finish      *finish.Finish
	purge       *purge.Purge
	retention   *retention.Retention
	digest      *digest.Digest
	tidy, sweep duty.Duty
	singles     func(name string) duty.Single

	ops     ops
	server  *grpc.Server
	page    http.Handler
	closing chan struct{} // to be closed when calls that have no end are to end
}

// watching runs what has to know of all agents: one coordinator does it for all.
func (p *parts) watching(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.beats.Follow(ctx) })
	group.Go(func() error { return p.watch.Run(ctx) })
	if p.appstream != nil {
		group.Go(func() error { return p.appstream.Run(ctx) })
	}
	return group.Wait()
}

// watchers are told of agents.
type watchers struct{ *parts }

// Seen says that a session's agent lives.
func (w watchers) Seen(session string) { w.watch.Seen(session) }

// Frames says how many pictures a session's agent has taken.
func (w watchers) Frames(session string, count int64, idle time.Duration) {
	w.watch.Frames(session, count, idle)
	if w.appstream != nil {
		w.appstream.Framed(session, count)
	}
}

// turned is when the watch of this coordinator last went round; now where another one's does.
func (p *parts) turned() time.Time {
	since := p.beats.Leads()
	if since.IsZero() {
		return time.Now()
	}
	if t := p.watch.Turned(); t.After(since) {
		return t
	}
	return since
}

const (
	// dutyLease is how late a duty is taken over where the coordinator that had it dies.
	dutyLease = 15 * time.Second
	// tidyEvery is how often listings are made quick again, beside each time that another coordinator takes the duty.
	tidyEvery = 24 * time.Hour
	// sweepEvery is how often the archive is looked through for what writers that died have left, sweepAge how old that must be.
	sweepEvery, sweepAge = time.Hour, 24 * time.Hour
	// Agents are heard of several times before they would count as silent.
	beatShare          = 6
	minBeats, maxBeats = 200 * time.Millisecond, 5 * time.Second
)

// beat is how often agents call, and coordinators tell each other of theirs.
func (c Config) beat() time.Duration {
	return min(max(min(c.Patience, c.GiveUp)/beatShare, minBeats), maxBeats)
}

// build makes the parts and ties them together; it starts nothing. Where it fails, the parts that it returns are to be closed.
func (c Config) build(ctx context.Context, store *catalog.Catalog, keys *signer.Signer) (*parts, error) {
	p := &parts{closing: make(chan struct{})}
	if err := p.buildAccess(c, store); err != nil {
		return p, err
	}
	p.buildDuties(c, store, keys)
	if err := p.buildPage(ctx, c, store); err != nil {
		return p, fmt.Errorf("make page: %w", err)
	}
	p.ops = c.buildOps(store, p.turned)
	if p.appstream != nil {
		p.ops.registry.MustRegister(opsmetrics.Platform(p.appstream.State))
	}
	return p, p.buildServer(c, store, keys)
}

// close gives back what the parts hold beside what they run.
func (p *parts) close() {
	if p.refusals != nil {
		p.refusals.Close()
	}
	if p.provider != nil {
		p.provider.Close()
	}
}

// buildDuties makes what leads sessions without being asked.
func (p *parts) buildDuties(c Config, store *catalog.Catalog, keys *signer.Signer) {
	p.finish = finish.New(store, c.Broker, c.Store, keys, c.Logger.Named("finish"))
	p.digest = digest.New(digest.Config{Catalog: store, Archive: c.Store, Keys: keys, Logger: c.Logger.Named("digest"), Now: c.Now})
	p.purge = purge.New(store, c.Broker, c.Logger.Named("purge"))
	p.retention = retention.New(store, c.Store, c.Broker, c.Logger.Named("retention"))
	p.board = jobs.New(jobs.Config{
		Catalog: store, Archive: c.Store, Lease: c.Lease, Logger: c.Logger.Named("jobs"),
		Ended: func() {
			p.purge.Archived.Raise()
			p.finish.Due.Raise()
		},
	})
	p.custody = ingest.New(store, c.Broker, p.board.Announce, c.Logger.Named("ingest"))
	p.watch = watch.New(watch.Config{
		Catalog: store, Salvager: p.custody, Patience: c.Patience, GiveUp: c.GiveUp, Closed: p.finish.Due.Raise, Logger: c.Logger.Named("watch"),
	})
	p.tidy = duty.Duty{Every: tidyEvery, Step: store.Tidy, Logger: c.Logger.Named("tidy")}
	p.sweep = duty.Duty{Every: sweepEvery, Step: c.sweep, Logger: c.Logger.Named("sweep")}
	p.singles = func(name string) duty.Single {
		return duty.Single{Name: name, Holder: c.Name, Leases: store, Lasts: c.DutyLease, Logger: c.Logger.Named("duty")}
	}
	p.beats = beats.New(beats.Config{Catalog: store, Watch: watchers{p}, Self: c.Name, Every: c.beat(), Logger: c.Logger.Named("beats")})
	if c.Policy != nil {
		p.appstream = appstream.New(appstream.Config{
			Catalog: store, Policy: c.Policy.Current, Dial: appstream.Dial, Logger: c.Logger.Named("appstream"),
		})
	}
}

// buildServer makes what answers agents, encoders and people.
func (p *parts) buildServer(c Config, store *catalog.Catalog, keys *signer.Signer) (err error) {
	leading := sessions.New(sessions.Config{
		Catalog: store, Bus: c.Broker, Ingest: p.custody, Space: c.space, Policy: c.Policy.Current, Seen: p.beats.Seen, Ended: p.finish.Due.Raise,
		Allowed: p.enroll.Allows, Granting: p.enroll.Granting,
		Settings: sessions.Settings{
			FrameRate: c.FrameRate, SegmentLength: c.SegmentLength, SegmentBytes: c.SegmentBytes, Template: c.Location.Template, SyncEvery: c.beat(),
		},
		Logger: c.Logger.Named("sessions"),
	})
	p.server, err = api.NewServer(api.Config{
		Catalog: store, Store: c.Store, Location: c.Location, Grants: c.Broker,
		Sessions: leading, Board: p.board, Enroll: p.enroll, Heard: p.beats.Synced, Deleted: p.retention.Due.Raise,
		Access: p.control, Book: c.Access.Current, SignIn: c.signIn(p.provider), Credentials: front.Credentials(),
		Encode: c.Encode, Lease: c.Lease,
		Keys: keys, Heads: p.digest.Heads,
		Health: p.ops.status, Calls: p.ops.calls, Closing: p.closing, Logger: c.Logger.Named("api"),
	})
	return err
}
