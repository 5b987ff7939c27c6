package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Changes that come at once may share a transaction: each has its own end all the same.
func testAtOnce(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	const rounds = 60
	var noted, missing, late [rounds]error
	atOnce(3*rounds, func(i int) {
		n := i / 3
		switch i % 3 {
		case 0:
			_, noted[n] = c.AppendAudit(ctx, catalog.AuditRecord{Time: at(1), Who: fmt.Sprint("who", n), Action: "session.stop", Result: "allowed"})
		case 1:
			missing[n] = c.DrainEncoder(ctx, fmt.Sprint("none", n), "me", at(1))
		case 2:
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			_, late[n] = c.AppendAudit(canceled, catalog.AuditRecord{Time: at(1), Who: "late", Action: "session.stop", Result: "allowed"})
		}
	})
	for n := range rounds {
		if noted[n] != nil {
			t.Error(noted[n])
		}
		if !errors.Is(missing[n], catalog.ErrNotFound) {
			t.Errorf("draining an encoder that there is not: %v", missing[n])
		}
		if late[n] == nil {
			t.Error("a change was made for a caller who had gone")
		}
	}
	if last, err := c.VerifyAudit(ctx); err != nil || last.Number != rounds {
		t.Errorf("%d records, %v", last.Number, err)
	}
	if found, _, err := c.ListAudit(ctx, catalog.AuditFilter{Who: "late"}, 10, ""); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}
