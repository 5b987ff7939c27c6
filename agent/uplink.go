package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
)

// uplink brings one session of the spool to the server: it registers it, where it is not registered, and then publishes and
// reports until all of an ended session is in the server's custody.
type uplink struct {
	registrar session.Registrar
	spool     *spool.Session
	grant     *bus.Grant                   // came with a registration that was made already; may be nil
	frames    func() (int64, time.Time)    // nil where nothing is captured any more
	idle      func() (time.Duration, bool) // nil with frames
	log       hclog.Logger

	link       atomic.Pointer[session.Session]
	registered chan struct{} // closed once the session is registered and link is set
	over       chan struct{} // closed when run has returned, and err is set
	err        error
}

func (a *Agent) newUplink(r session.Registrar, s *spool.Session, grant *bus.Grant, frames func() (int64, time.Time)) *uplink {
	u := &uplink{registrar: r, spool: s, grant: grant, frames: frames, log: a.log.Named("session"),
		registered: make(chan struct{}), over: make(chan struct{})}
	if frames != nil {
		u.idle = a.idle
	}
	return u
}

// run blocks until there is nothing left to do, the coordinator refuses the session, or ctx is done. To be called once.
func (u *uplink) run(ctx context.Context) {
	defer close(u.over)
	if u.spool.Registration().SessionID == "" {
		g, err := u.registrar.Register(ctx, u.spool)
		if err != nil {
			if ctx.Err() == nil {
				u.err = err
			}
			return
		}
		u.grant = &g
	}
	link := session.New(session.Config{
		Spool: u.spool, Client: u.registrar.Client, Key: u.registrar.Key, Grant: u.grant, Frames: u.frames, Idle: u.idle, Logger: u.log,
	})
	u.link.Store(link)
	close(u.registered)
	u.err = link.Run(ctx)
}

// ended is what run ended with; nil while it has not.
func (u *uplink) ended() error {
	select {
	case <-u.over:
		return u.err
	default:
		return nil
	}
}

// complete reports whether nothing of the session is left to do.
func (u *uplink) complete() bool {
	link := u.link.Load()
	return link != nil && link.Complete()
}

// counts returns how many chunks were published and the number of the last event reported.
func (u *uplink) counts() (published, reported int64) {
	if link := u.link.Load(); link != nil {
		return link.Published(), link.Reported()
	}
	return 0, 0
}
