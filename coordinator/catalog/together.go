package catalog

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// togetherMost bounds the changes that go into one transaction.
	togetherMost = 64
	// togetherTime bounds one transaction of several changes.
	togetherTime = 30 * time.Second
)

// together has changes that wait for SQLite's one writer share a transaction: each is durable before its caller is told, and
// happens wholly or not at all, but the disk is waited for once. The first that finds nobody at work does the work of all who
// wait; there is no goroutine.
type together struct {
	alone func(ctx context.Context, f func(tx *txn) error) error

	mu      sync.Mutex
	waiting []*change
	busy    bool
}

// change is one call of update.
type change struct {
	ctx  context.Context //nolint:containedctx // it is the caller's, who waits
	f    func(tx *txn) error
	err  error
	lead chan struct{} // closed where the caller is to do the work of all who wait, itself among them
	done chan struct{} // closed when err is set
}

// do makes a panic the caller's own: whoever leads does the work of others.
func (c *change) do(tx *txn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("change panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return c.f(tx)
}

// do blocks until f has happened or failed. A change whose ctx is done before its turn is not begun.
func (t *together) do(ctx context.Context, f func(tx *txn) error) error {
	c := &change{ctx: ctx, f: f, lead: make(chan struct{}), done: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, c)
	if !t.busy {
		t.busy = true
		close(c.lead)
	}
	t.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-c.lead:
	}
	t.work()
	<-c.done // it was the first of those who waited
	return c.err
}

// work does the changes that wait, at most as many as go together, and hands the lead on.
func (t *together) work() {
	t.mu.Lock()
	n := min(len(t.waiting), togetherMost)
	batch := append([]*change(nil), t.waiting[:n]...)
	t.waiting = append(t.waiting[:0], t.waiting[n:]...)
	t.mu.Unlock()
	t.run(batch)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.busy = false
		return
	}
	close(t.waiting[0].lead)
}

// run does a batch: in one transaction or, where that fails as a whole, each in its own.
func (t *together) run(batch []*change) {
	if len(batch) > 1 && t.all(batch) == nil {
		for _, c := range batch {
			close(c.done)
		}
		return
	}
	for _, c := range batch {
		c.err = t.alone(c.ctx, c.do)
		close(c.done)
	}
}

// all does a batch in one transaction. What is wrong with single changes is theirs; an error is about all of them, of which
// none has happened then.
func (t *together) all(batch []*change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), togetherTime)
	defer cancel()
	return t.alone(ctx, func(tx *txn) error {
		for _, c := range batch {
			if c.err = c.ctx.Err(); c.err != nil {
				continue
			}
			if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			if c.err = c.do(tx); c.err != nil {
				if _, err := tx.ExecContext(ctx, "ROLLBACK TO change"); err != nil {
					return errors.Join(c.err, err) // an interrupted change may have taken the transaction with it
				}
			}
			if _, err := tx.ExecContext(ctx, "RELEASE change"); err != nil {
				return errors.Join(c.err, err)
			}
		}
		return nil
	})
}
