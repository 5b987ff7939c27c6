package agent

import (
	"context"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
)

const (
	// noticeFor is how long the user is shown a notice who does not click on it.
	noticeFor = 15 * time.Second
	// noticeAgain is how long a display gets that could not show it.
	noticeAgain = 5 * time.Second
	// keyNotice names the metadata of when the user was told.
	keyNotice = "notice_shown"
)

// tell shows the user what policy has to say to them, once a session, and notes when that was. A display that cannot show it is
// tried again until ctx is done: a desktop that is still being set up, or is locked to the agent for a moment.
func (a *Agent) tell(ctx context.Context, s *spool.Session, registered <-chan struct{}) {
	select {
	case <-registered:
	case <-ctx.Done():
		return
	}
	r := s.Registration()
	if r.Notice == "" || r.Metadata[keyNotice] != "" { // this session goes on with one whose user was told
		return
	}
	for warned := false; ; warned = true {
		begun := a.line.Now()
		err := x11.ShowNotice(ctx, a.cfg.Display, x11.Options{Authority: a.cfg.Authority}, r.Notice, noticeFor)
		if err == nil {
			a.told(s, begun)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if !warned {
			a.log.Warn("notice not shown", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(noticeAgain):
		}
	}
}

// told notes that the user was told, so that no process that follows does it again.
func (a *Agent) told(s *spool.Session, at time.Time) {
	a.log.Info("notice shown")
	a.note(s, keyNotice, at.UTC().Format(time.RFC3339))
	if err := s.Update(func(r *spool.Registration) { r.Notice = "" }); err != nil {
		a.log.Warn("notice not noted as shown", "error", err)
	}
}
