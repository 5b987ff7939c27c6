package coordinator

import (
	"crypto/ed25519"
	"fmt"
	"net/http"

	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/api"
	"github.com/recfleet/recfleet/coordinator/appstream"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/finish"
	"github.com/recfleet/recfleet/coordinator/front"
	"github.com/recfleet/recfleet/coordinator/ingest"
	"github.com/recfleet/recfleet/coordinator/jobs"
	"github.com/recfleet/recfleet/coordinator/purge"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/watch"
	"github.com/recfleet/recfleet/coordinator/web"
)

// parts are what runs.
type parts struct {
	board  *jobs.Board
	watch  *watch.Watch
	finish *finish.Finish
	purge  *purge.Purge

	appstream *appstream.Watch // nil without a policy

	ops    ops
	server *grpc.Server
	page   http.Handler

	closing chan struct{} // to be closed when calls that have no end are to end
}

// synced tells those who watch whether a session's agent takes pictures.
func (p *parts) synced(session string, b sessions.Beat) {
	idle := b.Idle
	if !b.IdleKnown {
		idle = 0 // a user who is not known to be idle is taken for active
	}
	p.watch.Frames(session, b.Frames, idle)
	if p.appstream != nil {
		p.appstream.Framed(session, b.Frames)
	}
}

// build makes the parts and ties them together; it starts nothing.
func (c Config) build(store *catalog.Catalog, key ed25519.PrivateKey) (p parts, err error) {
	control := access.New(c.Tokens)
	p.closing = make(chan struct{})
	wishes := &wishing{Catalog: store}
	p.page, err = web.New(web.Config{
		Sessions: wishes, Objects: c.Store, Logger: c.Logger.Named("web"),
		Admits: func(token string) bool {
			role, ok := control.Role(token)
			return ok && role == access.RoleAdmin
		},
	})
	if err != nil {
		return p, fmt.Errorf("make page: %w", err)
	}
	p.finish = finish.New(store, c.Broker, c.Store, key, c.Logger.Named("finish"))
	p.purge = purge.New(store, c.Broker, c.Logger.Named("purge"))
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
	if c.Policy != nil {
		p.appstream = appstream.New(appstream.Config{
			Catalog: store, Policy: c.Policy.Current, Dial: appstream.Dial, Logger: c.Logger.Named("appstream"),
		})
	}
	p.ops = c.buildOps(store, p.watch)
	p.server = api.NewServer(api.Config{
		Health: p.ops.status, Calls: p.ops.calls,
		Catalog: store, Board: p.board, Grants: c.Broker, Store: c.Store, Location: c.Location, Access: control,
		Credentials: front.Credentials(), Encode: c.Encode, Lease: c.Lease, Logger: c.Logger.Named("api"),
		PublicKey: key.Public().(ed25519.PublicKey), Deleted: func() {}, Closing: p.closing,
		Sessions: sessions.New(sessions.Config{
			Catalog: store, Bus: c.Broker, Ingest: custody, Space: c.space, Policy: c.Policy.Current, Seen: p.watch.Seen, Synced: p.synced, Ended: p.finish.Due.Raise,
			Settings: sessions.Settings{FrameRate: c.FrameRate, SegmentLength: c.SegmentLength, SegmentBytes: c.SegmentBytes, Template: c.Location.Template},
			Logger:   c.Logger.Named("sessions"),
		}),
	})
	return p, nil
}
