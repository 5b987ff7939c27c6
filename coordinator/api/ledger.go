package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/evidence"
)

// errUnaudited says that nothing was done because it could not be written down.
var errUnaudited = catalog.ErrUnaudited

// allowed is the result of what is done.
const allowed = "ok"

// settleTime is what writing a refusal down may take; the caller may have gone.
const settleTime = 5 * time.Second

// ledger writes down what people do, once for each call.
type ledger struct {
	audit    *catalog.Catalog
	viewings *viewing.Book
}

// deed is what somebody wants to do.
type deed struct{ action, object, reason string }

// do has act change the catalog with the context that it gets: the change and the record of it are written together, or neither is.
// Where act is refused the one record says so, and where that cannot be written nobody is told how it ended.
func (l ledger) do(ctx context.Context, d deed, act func(ctx context.Context) error) error {
	noted, note := catalog.WithNote(ctx, l.record(ctx, d, evidence.Span{}, allowed))
	err := act(noted)
	switch {
	case note.Written() || errors.Is(err, errUnaudited):
		return err
	case err != nil:
		return l.refuse(ctx, d, evidence.Span{}, err)
	}
	return l.append(ctx, d, evidence.Span{}, allowed) // nothing was to be changed
}

// tell writes down how get ended before anybody is told what it got.
func (l ledger) tell(ctx context.Context, d deed, get func() error) error {
	if err := get(); err != nil {
		return l.refuse(ctx, d, evidence.Span{}, err)
	}
	return l.append(ctx, d, evidence.Span{}, allowed)
}

// serve writes down that a part of a session's recording is served, and serves it. Where that breaks off another record says so.
func (l ledger) serve(ctx context.Context, d deed, span evidence.Span, act func() error) error {
	if err := l.append(ctx, d, span, allowed); err != nil {
		return err
	}
	if err := act(); err != nil {
		return l.refuse(ctx, d, span, err)
	}
	return nil
}

// cover is serve for what many calls do together: only what no record of this viewing covers yet is written down before.
func (l ledger) cover(ctx context.Context, d deed, pieces []viewing.Piece, act func() error) error {
	who := access.Caller(ctx)
	v := viewing.Viewing{Action: d.action, Session: d.object, Who: who.Name, Auth: string(who.By), From: host(origin(ctx)), Reason: d.reason}
	if err := l.viewings.Cover(ctx, v, pieces...); err != nil {
		return fmt.Errorf("%w: %w", errUnaudited, err)
	}
	if err := act(); err != nil {
		return l.refuse(ctx, d, evidence.Span{}, err)
	}
	return nil
}

// refuse writes down that something was not done, or not to its end, because of err, and returns err; errUnaudited where it cannot.
func (l ledger) refuse(ctx context.Context, d deed, span evidence.Span, err error) error {
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if auditErr := l.append(after, d, span, resultOf(err)); auditErr != nil {
		return fmt.Errorf("note that %s of %s was refused (%s): %w", d.action, d.object, err.Error(), auditErr)
	}
	return err
}

// append is errUnaudited where it fails.
func (l ledger) append(ctx context.Context, d deed, span evidence.Span, result string) error {
	if _, err := l.audit.AppendAudit(ctx, l.record(ctx, d, span, result)); err != nil {
		return fmt.Errorf("%w: %w", errUnaudited, err)
	}
	return nil
}

func (l ledger) record(ctx context.Context, d deed, span evidence.Span, result string) catalog.AuditRecord {
	who := access.Caller(ctx)
	return catalog.AuditRecord{
		Time: time.Now(), Who: who.Name, Auth: string(who.By), Action: d.action, Object: d.object, Span: span, Reason: d.reason, Result: result, From: origin(ctx),
	}
}

// host is an address without its port: the connections of one caller have many.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// origin is the address that a call came from.
func origin(ctx context.Context) string {
	from, ok := peer.FromContext(ctx)
	if !ok || from.Addr == nil {
		return ""
	}
	return oneLine(from.Addr.String(), maxName)
}

// resultOf is a refusal's code as the audit has it: "not_found" and so on.
func resultOf(err error) string {
	coded, _ := toStatus(err)
	var b strings.Builder
	for i, r := range status.Code(coded).String() {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
