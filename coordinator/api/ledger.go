package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/evidence"
)

// errUnaudited says that nothing was done because it could not be written down before.
var errUnaudited = errors.New("the audit log cannot be written")

// allowed is the result of what is about to be done.
const allowed = "ok"

// settleTime is what writing a refusal down may take; the caller may have gone.
const settleTime = 5 * time.Second

// Auditor keeps records; catalog.Catalog is one.
type Auditor interface {
	AppendAudit(ctx context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error)
}

// ledger writes down what people do before it is done.
type ledger struct {
	audit    Auditor
	viewings *viewing.Book
	logger   hclog.Logger
}

// deed is what somebody wants to do.
type deed struct{ action, object, reason string }

// do writes the deed down, does it and, where that is refused, writes the refusal down as well. Where the first cannot be
// written nothing is done.
func (l ledger) do(ctx context.Context, d deed, act func() error) error {
	return l.serve(ctx, d, evidence.Span{}, act)
}

// serve is do for what is about a part of a session's recording.
func (l ledger) serve(ctx context.Context, d deed, span evidence.Span, act func() error) error {
	if err := l.append(ctx, d, span, allowed); err != nil {
		return fmt.Errorf("%w: %w", errUnaudited, err)
	}
	err := act()
	if err == nil {
		return nil
	}
	l.refuse(ctx, d, span, err)
	return err
}

// cover is serve for what many calls do together: only what no record of this viewing covers yet is written down before.
func (l ledger) cover(ctx context.Context, d deed, pieces []viewing.Piece, act func() error) error {
	who := access.Caller(ctx)
	v := viewing.Viewing{Action: d.action, Session: d.object, Who: who.Name, Auth: string(who.By), From: host(origin(ctx)), Reason: d.reason}
	if err := l.viewings.Cover(ctx, v, pieces...); err != nil {
		return fmt.Errorf("%w: %w", errUnaudited, err)
	}
	err := act()
	if err == nil {
		return nil
	}
	l.refuse(ctx, d, evidence.Span{}, err)
	return err
}

// refuse writes down that what was allowed was not done after all.
func (l ledger) refuse(ctx context.Context, d deed, span evidence.Span, err error) {
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if auditErr := l.append(after, d, span, resultOf(err)); auditErr != nil {
		l.logger.Error("refusal was not audited", "action", d.action, "object", d.object, "error", auditErr)
	}
}

func (l ledger) append(ctx context.Context, d deed, span evidence.Span, result string) error {
	who := access.Caller(ctx)
	_, err := l.audit.AppendAudit(ctx, catalog.AuditRecord{
		Time: time.Now(), Who: who.Name, Auth: string(who.By), Action: d.action, Object: d.object, Span: span, Reason: d.reason, Result: result, From: origin(ctx),
	})
	return err
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
