package api

import (
	"context"
	"fmt"
	"sync"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
)

// maxOwners bounds what is remembered of whose sessions are.
const maxOwners = 1 << 14

// owners knows which agent began a session. That never changes, so what was read once holds.
type owners struct {
	catalog *catalog.Catalog

	mu       sync.Mutex
	now, old map[string]string // agents by session: those asked for lately, and those before
}

func newOwners(c *catalog.Catalog) *owners { return &owners{catalog: c, now: map[string]string{}} }

// check returns nil where the caller is the agent that began a session, or where both are of those that share a token; else
// catalog.ErrNotFound, as where there is no such session.
func (o *owners) check(ctx context.Context, session string) error {
	agent, err := o.of(ctx, session)
	if err == nil && agent != access.Caller(ctx).Agent {
		err = fmt.Errorf("read agent of session %s: %w", session, catalog.ErrNotFound)
	}
	return err
}

func (o *owners) of(ctx context.Context, session string) (string, error) {
	o.mu.Lock()
	agent, known := o.now[session]
	if !known {
		agent, known = o.old[session]
	}
	o.mu.Unlock()
	if !known {
		var err error
		if agent, err = o.catalog.SessionAgent(ctx, session); err != nil {
			return "", err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.now) >= maxOwners {
		o.now, o.old = map[string]string{}, o.now
	}
	o.now[session] = agent
	return agent, nil
}
