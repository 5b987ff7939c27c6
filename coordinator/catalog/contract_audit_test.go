package catalog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

func testAudit(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	if last, err := all[0].VerifyAudit(ctx); err != nil || last.Number != 0 {
		t.Fatal(last, err)
	}
	const each = 10
	atOnce(several, func(i int) {
		for n := range each {
			r := catalog.AuditRecord{
				Time: at(float64(n)), Who: fmt.Sprint("who", i), Action: []string{"session.watch", "session.delete"}[n%2], Object: "a", Reason: "'\"\n", Result: "allowed", From: "[::1]:1",
			}
			if got, err := all[i].AppendAudit(ctx, r); err != nil || got.Number < 1 || got.Hash.String() == "" {
				t.Error(got, err)
			}
		}
	})
	last, err := all[1].VerifyAudit(ctx)
	if err != nil || last.Number != several*each {
		t.Fatal(last, err)
	}
	list := func(f catalog.AuditFilter) (numbers []int64) {
		t.Helper()
		for token, first := "", true; first || token != ""; first = false {
			page, next, err := all[0].ListAudit(ctx, f, 7, token)
			if err != nil || len(page) > 7 {
				t.Fatal(page, err)
			}
			for _, r := range page {
				numbers = append(numbers, r.Number)
			}
			token = next
		}
		return numbers
	}
	every := list(catalog.AuditFilter{Object: "a"})
	if len(every) != several*each || !slices.IsSortedFunc(every, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("%v", every)
	}
	for want, f := range map[int]catalog.AuditFilter{
		each: {Who: "who1"}, each / 2: {Who: "who1", Action: "session.delete"}, 0: {Result: "refused"}, several * 3: {After: at(2), Before: at(5)},
	} {
		if got := list(f); len(got) != want {
			t.Errorf("%+v: %v", f, got)
		}
	}
	_, next, err := all[0].ListAudit(ctx, catalog.AuditFilter{}, 7, "")
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	_, _, err = all[0].ListAudit(ctx, catalog.AuditFilter{Who: "who1"}, 7, next)
	wantErr(t, err, catalog.ErrPageToken)

	// Nobody changes a record by accident; who does it on purpose is found out.
	for _, statement := range []string{"UPDATE audit SET who = 'x' WHERE number = 3", "DELETE FROM audit WHERE number = 3", "DELETE FROM audit"} {
		if err := all[0].Run(ctx, statement); err == nil {
			t.Errorf("%s was done", statement)
		}
	}
	for i, change := range []string{"UPDATE audit SET reason = 'x' WHERE number = 3", "DELETE FROM audit WHERE number = 40", "DELETE FROM audit WHERE number = 7"} {
		if err := all[0].RunUnguarded(ctx, change); err != nil {
			t.Fatal(err)
		}
		_, err := all[0].VerifyAudit(ctx)
		wantErr(t, err, catalog.ErrAudit)
		if i == 0 {
			if err := all[0].RunUnguarded(ctx, "UPDATE audit SET reason = '''\"\n' WHERE number = 3"); err != nil {
				t.Fatal(err)
			}
			if _, err := all[0].VerifyAudit(ctx); err != nil {
				t.Error(err)
			}
		}
	}
}
