package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrUnaudited says that nothing was changed because the record that goes with the change could not be written.
var ErrUnaudited = errors.New("the audit log cannot be written")

// Note is an audit record that goes with a change.
type Note struct {
	record  AuditRecord
	written atomic.Bool
}

// Written reports whether the record is in the audit, and so the change in the catalog.
func (n *Note) Written() bool { return n.written.Load() }

type noteKey struct{}

// WithNote returns a context in which the next write that is not refused has a record written with it, in one transaction: both
// have happened or neither has. A change whose record cannot be written is ErrUnaudited.
func WithNote(ctx context.Context, r AuditRecord) (context.Context, *Note) {
	n := &Note{record: r}
	return context.WithValue(ctx, noteKey{}, n), n
}

// pendingNote returns the note that has yet to be written in a context; nil for none.
func pendingNote(ctx context.Context) *Note {
	if n, ok := ctx.Value(noteKey{}).(*Note); ok && !n.Written() {
		return n
	}
	return nil
}

// write is the last part of a transaction, so that its lock is the last one that is taken.
func (n *Note) write(ctx context.Context, tx *txn) error {
	if _, err := appendAudit(ctx, tx, n.record); err != nil {
		return fmt.Errorf("%w: %w", ErrUnaudited, err)
	}
	return nil
}
