package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// togetherMost bounds the changes that go into one transaction, lateAmong those among them that can wait, where others cannot.
const togetherMost, lateAmong = 64, 1

// writer has changes that wait for SQLite's one writing connection share a transaction: each is durable before its caller is told,
// and happens wholly or not at all, but the disk is waited for once. What can wait comes after what agents wait for, and does come: one with
// each transaction. A caller whose context ends before its change was begun
// leaves, whoever holds the database.
type writer struct {
	begin func(ctx context.Context) (*txn, error)

	mu      sync.Mutex
	waiting []*change
	late    []*change // what can wait
	closed  bool
	wake    chan struct{} // one deep: something waits, or the writer is closed
	ended   chan struct{}
}

// change is one call of update.
type change struct {
	ctx   context.Context //nolint:containedctx // it is the caller's, who waits
	f     func(tx *txn) error
	taken atomic.Bool // by the writer, or by a caller who leaves
	err   error
	done  chan struct{} // closed when err is set
}

// errClosed is what a change gets after the catalog was closed.
var errClosed = fmt.Errorf("catalog is closed: %w", sql.ErrConnDone)

// startWriter starts a writer, which runs until close.
func startWriter(begin func(ctx context.Context) (*txn, error)) *writer {
	w := &writer{begin: begin, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.run()
	return w
}

// close ends the writer after what it has begun. What waits fails.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.rouse()
	<-w.ended
}

func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look
	}
}

// do blocks until f has happened or failed, or ctx is done before f was begun. late says that others go first.
func (w *writer) do(ctx context.Context, late bool, f func(tx *txn) error) error {
	c := &change{ctx: ctx, f: f, done: make(chan struct{})}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	if late {
		w.late = append(w.late, c)
	} else {
		w.waiting = append(w.waiting, c)
	}
	w.mu.Unlock()
	w.rouse()
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-c.done
	}
	return c.err
}

func (w *writer) run() {
	defer close(w.ended)
	for range w.wake {
		for w.busy() {
			w.turn()
		}
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if closed {
			w.finish(w.take(math.MaxInt), errClosed)
			return
		}
	}
}

// busy reports whether a change waits and may still be done, and forgets those whose callers have left.
func (w *writer) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, queue := range []*[]*change{&w.waiting, &w.late} {
		for len(*queue) > 0 && (*queue)[0].taken.Load() {
			*queue = (*queue)[1:]
		}
	}
	return len(w.waiting)+len(w.late) > 0 && !w.closed
}

// take takes up to n changes of those that wait, and of those that can wait as many as do not hold others up.
func (w *writer) take(n int) []*change {
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := takeOf(&w.waiting, n)
	if len(batch) > 0 && !w.closed {
		n = lateAmong
	}
	return append(batch, takeOf(&w.late, n)...)
}

// takeOf takes up to n changes of a queue whose callers have not left.
func takeOf(queue *[]*change, n int) (batch []*change) {
	for len(*queue) > 0 && len(batch) < n {
		c := (*queue)[0]
		*queue = (*queue)[1:]
		if c.taken.CompareAndSwap(false, true) {
			batch = append(batch, c)
		}
	}
	return batch
}

func (w *writer) finish(batch []*change, err error) {
	for _, c := range batch {
		c.err = err
		close(c.done)
	}
}

// turn does a batch of the changes that wait. Which they are is decided when the database is held: nobody waits for that who could not
// leave. Where a change takes the transaction with it, as one does whose caller's context ends in the middle of a statement, the
// others are done again without it.
func (w *writer) turn() {
	tx, err := w.begin(context.Background())
	batch := w.take(togetherMost)
	for err == nil {
		culprit := inTurn(tx, batch)
		if culprit < 0 {
			w.commit(tx, batch)
			return
		}
		_ = tx.Rollback() // the culprit's error says more
		c := batch[culprit]
		batch = append(batch[:culprit], batch[culprit+1:]...)
		if c.ctx.Err() == nil {
			c.err = w.alone(c)
		}
		close(c.done)
		tx, err = w.begin(context.Background())
	}
	w.finish(batch, err)
}

// commit ends a transaction and tells the callers of its changes.
func (w *writer) commit(tx *txn, batch []*change) {
	if err := tx.Commit(); err != nil {
		w.finish(batch, fmt.Errorf("commit: %w", err))
		return
	}
	for _, c := range batch {
		close(c.done)
	}
}

// inTurn does the changes of a batch one after the other, each as if it were alone: what is wrong with one is its own. It returns the
// index of a change that took the transaction with it, so that none has happened, or -1.
func inTurn(tx *txn, batch []*change) (culprit int) {
	ctx := context.Background()
	for i, c := range batch {
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		if _, c.err = tx.ExecContext(ctx, "SAVEPOINT change"); c.err != nil {
			return i
		}
		if c.err = c.f(tx); c.err != nil {
			if _, err := tx.ExecContext(ctx, "ROLLBACK TO change"); err != nil {
				c.err = errors.Join(c.err, err)
				return i
			}
		}
		if _, err := tx.ExecContext(ctx, "RELEASE change"); err != nil {
			c.err = errors.Join(c.err, err)
			return i
		}
	}
	return -1
}

// alone does one change in a transaction of its own.
func (w *writer) alone(c *change) error {
	tx, err := w.begin(c.ctx)
	if err != nil {
		return err
	}
	return tx.end(c.f(tx))
}
