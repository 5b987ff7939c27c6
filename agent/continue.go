package agent

import (
	"errors"
	"fmt"

	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
)

// carryOn makes what is left of a session that the coordinator has given up another session, and has the next capture go on
// there.
func (a *Agent) carryOn(d *desk) error {
	next, err := a.continueSession(d.session)
	if err != nil {
		return err
	}
	past, err := pastOf(next)
	if err != nil {
		return errors.Join(err, next.Close())
	}
	past.last = d.past.last
	d.grant = nil
	d.follow(next, past, "session continued")
	return nil
}

// continueSession makes another session of what is left of one.
func (a *Agent) continueSession(s *spool.Session) (*spool.Session, error) {
	old := s.Registration()
	next, err := a.spool.Continue(s, session.NewRequestID(), func(r *spool.Registration) {
		r.Metadata[keyContinues] = old.SessionID
		delete(r.Metadata, keyRegisteredAfter) // which is the other one's
	})
	if err != nil {
		return nil, fmt.Errorf("continue session %s: %w", old.SessionID, err)
	}
	a.log.Warn("session continued in another", "session_id", old.SessionID, "request_id", next.Registration().RequestID,
		"segments", len(next.Segments()))
	return next, nil
}
