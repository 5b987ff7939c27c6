package coordinator

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
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
	"github.com/recfleet/recfleet/coordinator/ops/health"
	opsmetrics "github.com/recfleet/recfleet/coordinator/ops/metrics"
	"github.com/recfleet/recfleet/coordinator/purge"
	"github.com/recfleet/recfleet/coordinator/refusals"
	"github.com/recfleet/recfleet/coordinator/retention"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/watch"
	"github.com/recfleet/recfleet/coordinator/web"
	"github.com/recfleet/recfleet/internal/object"
)

// parts are what runs.
type parts struct {
	board  *jobs.Board
	watch  *watch.Watch
	finish *finish.Finish
	purge  *purge.Purge

	retention *retention.Retention

	appstream *appstream.Watch // nil without a policy
	beats     *beats.Beats
	enroll    *enroll.Enroll
	tidy      duty.Duty
	digest    *digest.Digest
	sweep     duty.Duty
	singles   func(name string) duty.Single

	ops    ops
	server *grpc.Server
	page   http.Handler

	provider *oidc.Provider // nil where people sign in with tokens only

	refusals *refusals.Book

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

// build makes the parts and ties them together; it starts nothing.
func (c Config) build(ctx context.Context, store *catalog.Catalog, key ed25519.PrivateKey) (p *parts, err error) {
	p = &parts{}
	authenticators := []access.Authenticator{access.Local(c.Tokens), access.Made(store, c.Access.Current, time.Now)}
	var signIn web.SignIn
	provider, err := c.provider()
	if err != nil {
		return p, err
	}
	if provider != nil {
		p.provider, signIn = provider, provider
		authenticators = append(authenticators, provider)
	}
	control := access.New(store, authenticators...)
	control.DemandReasons(c.Access.Current)
	p.refusals = refusals.New(store, time.Now, c.Logger.Named("refusals"))
	control.Report(p.refusals)
	p.closing = make(chan struct{})
	wishes := &wishing{Catalog: store}
	view := web.Config{Sessions: wishes, Objects: c.Store, Access: control, SignIn: signIn, Audit: store, Logger: c.Logger.Named("web")}
	if links := object.LinksOf(c.Store); links != nil {
		if view.LinksOrigin, err = links.Origin(ctx); err != nil {
			return p, err
		}
		view.Links = links
	}
	page, err := web.New(view)
	if err == nil {
		err = control.CoversRoutes(append(page.Routes(), health.Routes()...))
	}
	if err != nil {
		return p, fmt.Errorf("make page: %w", err)
	}
	p.page = page
	p.finish = finish.New(store, c.Broker, c.Store, key, c.Logger.Named("finish"))
	p.digest = digest.New(digest.Config{
		Catalog: store, Archive: c.Store, Key: key, Logger: c.Logger.Named("digest"), Now: c.Now,
	})
	p.purge = purge.New(store, c.Broker, c.Logger.Named("purge"))
	p.retention = retention.New(store, c.Store, c.Broker, c.Logger.Named("retention"))
	p.board = jobs.New(jobs.Config{
		Catalog: store, Archive: c.Store, Lease: c.Lease, Logger: c.Logger.Named("jobs"),
		Ended: func() {
			p.purge.Archived.Raise()
			p.finish.Due.Raise()
		},
	})
	wishes.want = p.board.Want
	custody := ingest.New(store, c.Broker, p.board.Announce, c.Logger.Named("ingest"))
	p.watch = watch.New(watch.Config{
		Catalog: store, Salvager: custody, Patience: c.Patience, GiveUp: c.GiveUp, Closed: p.finish.Due.Raise, Logger: c.Logger.Named("watch"),
	})
	p.tidy = duty.Duty{Every: tidyEvery, Step: store.Tidy, Logger: c.Logger.Named("tidy")}
	p.sweep = duty.Duty{Every: sweepEvery, Step: c.sweep, Logger: c.Logger.Named("sweep")}
	p.singles = func(name string) duty.Single {
		return duty.Single{Name: name, Holder: c.Name, Leases: store, Lasts: c.DutyLease, Logger: c.Logger.Named("duty")}
	}
	p.beats = beats.New(beats.Config{
		Catalog: store, Watch: watchers{p}, Self: c.Name, Every: c.beat(), Logger: c.Logger.Named("beats"),
	})
	if c.Policy != nil {
		p.appstream = appstream.New(appstream.Config{
			Catalog: store, Policy: c.Policy.Current, Dial: appstream.Dial, Logger: c.Logger.Named("appstream"),
		})
	}
	p.ops = c.buildOps(store, p.turned)
	if p.appstream != nil {
		p.ops.registry.MustRegister(opsmetrics.Platform(p.appstream.State))
	}
	if p.enroll, err = enroll.New(enroll.Config{
		Catalog: store, Authority: c.Authority, Bus: c.Broker, AWS: enroll.NewSTS(&http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: checkTimeout, DisableKeepAlives: true,
		}), Logger: c.Logger.Named("enroll"),
	}); err != nil {
		return p, err
	}
	control.TrustCertificates(p.enroll)
	p.server, err = api.NewServer(api.Config{
		Enroll: p.enroll,
		Health: p.ops.status, Calls: p.ops.calls,
		Catalog: store, Board: p.board, Grants: c.Broker, Store: c.Store, Location: c.Location, Access: control, Book: c.Access.Current, SignIn: c.signIn(provider),
		Credentials: front.Credentials(), Encode: c.Encode, Lease: c.Lease, Logger: c.Logger.Named("api"),
		PublicKey: key.Public().(ed25519.PublicKey), Heads: p.digest.Heads, Deleted: p.retention.Due.Raise, Closing: p.closing, Heard: p.beats.Synced,
		Sessions: sessions.New(sessions.Config{
			Catalog: store, Bus: c.Broker, Ingest: custody, Space: c.space, Policy: c.Policy.Current, Seen: p.beats.Seen, Ended: p.finish.Due.Raise,
			Allowed: p.enroll.Allows, Granting: p.enroll.Granting,
			Settings: sessions.Settings{FrameRate: c.FrameRate, SegmentLength: c.SegmentLength, SegmentBytes: c.SegmentBytes, Template: c.Location.Template, SyncEvery: c.beat()},
			Logger:   c.Logger.Named("sessions"),
		}),
	})
	return p, err
}
