package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
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
	audit  Auditor
	logger hclog.Logger
}

// deed is what somebody wants to do.
type deed struct{ action, object, reason string }

// do writes the deed down, does it and, where that is refused, writes the refusal down as well. Where the first cannot be
// written nothing is done.
func (l ledger) do(ctx context.Context, d deed, act func() error) error {
	if err := l.append(ctx, d, allowed); err != nil {
		return fmt.Errorf("%w: %w", errUnaudited, err)
	}
	err := act()
	if err == nil {
		return nil
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if auditErr := l.append(after, d, resultOf(err)); auditErr != nil {
		l.logger.Error("refusal was not audited", "action", d.action, "object", d.object, "error", auditErr)
	}
	return err
}

func (l ledger) append(ctx context.Context, d deed, result string) error {
	_, err := l.audit.AppendAudit(ctx, catalog.AuditRecord{
		Time: time.Now(), Who: access.Caller(ctx).Name, Action: d.action, Object: d.object, Reason: d.reason, Result: result, From: origin(ctx),
	})
	return err
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
