package catalog_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

func testEnrollments(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	c, now := all[0], at(10)
	for i := range 5 {
		e := catalog.Enrollment{
			ID: fmt.Sprint("e", i), Hash: chunk.Sum([]byte{byte(i)}), Description: "it's", Stacks: []string{"s*"}, CreateBy: "ann", Created: at(float64(i)), Expires: at(100), MaxUses: 3,
		}
		if i == 4 {
			e.Expires = at(9)
		}
		if err := c.CreateEnrollment(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := all[1].EnrollmentByHash(ctx, chunk.Sum([]byte{1}))
	if err != nil || got.ID != "e1" || len(got.Stacks) != 1 || len(got.Fleets) != 0 || !got.Expires.Equal(at(100)) || got.Description != "it's" || got.Ended(now) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.EnrollmentByHash(ctx, chunk.Sum([]byte{9})); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("no such token: %v", err)
	}
	list := func(ended bool) (ids []string) {
		t.Helper()
		for token, first := "", true; first || token != ""; first = false {
			page, next, err := c.ListEnrollments(ctx, ended, now, 2, token)
			if err != nil || len(page) > 2 {
				t.Fatal(page, err)
			}
			for _, e := range page {
				ids = append(ids, e.ID)
			}
			token = next
		}
		return ids
	}
	if live, every := list(false), list(true); len(live) != 4 || len(every) != 5 {
		t.Errorf("%v and %v", live, every)
	}
	// Of many that come at once as many join as may, each once.
	var joined atomic.Int64
	atOnce(several, func(i int) {
		for n := range 4 {
			id := fmt.Sprintf("g%d%d", i, n)
			key := chunk.Sum([]byte(id))
			_, err := all[i].Enroll(ctx, catalog.EnrolledAgent{ID: id, Enrollment: "e1", PublicKey: key[:], Machine: id, Enrolled: now}, catalog.Nonce{Text: id, Expires: at(70)})
			switch {
			case err == nil:
				joined.Add(1)
			case !errors.Is(err, catalog.ErrNotAdmitted):
				t.Error(err)
			}
		}
	})
	agents, _, err := c.ListEnrolledAgents(ctx, "e1", 10, "")
	if err != nil || joined.Load() != 3 || len(agents) != 3 {
		t.Fatalf("%d joined, %d are listed, %v", joined.Load(), len(agents), err)
	}
	if e, err := c.EnrollmentOf(ctx, agents[0].ID); err != nil || e.ID != "e1" || e.Uses != 3 || !e.Ended(now) {
		t.Errorf("%+v, %v", e, err)
	}
	if err := c.RenewAgent(ctx, agents[0].ID, now, catalog.Nonce{Text: "once", Expires: at(70)}); err != nil {
		t.Error(err)
	}
	if err := all[1].RenewAgent(ctx, agents[0].ID, now, catalog.Nonce{Text: "once", Expires: at(70)}); err == nil {
		t.Error("a nonce was spent twice")
	}
	// Whoever is cut off is named to all coordinators; the agents of an enrollment go with it unless they are to be kept.
	if e, err := c.RevokeEnrollment(ctx, "e0", "bob", now, true); err != nil || e.RevokeBy != "bob" || !e.Ended(now) {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := c.RevokeEnrolledAgent(ctx, agents[0].ID, "bob", now); err != nil {
		t.Error(err)
	}
	if gone, _, err := all[1].Revoked(ctx, at(0), now); err != nil || len(gone) != 1 || gone[0] != agents[0].ID {
		t.Errorf("%v, %v", gone, err)
	}
	if err := c.RenewAgent(ctx, agents[0].ID, now, catalog.Nonce{Text: "twice", Expires: at(70)}); err == nil {
		t.Error("an agent that was cut off was renewed")
	}
	if _, err := c.RevokeEnrollment(ctx, "e1", "bob", now, false); err != nil {
		t.Error(err)
	}
	if gone, _, err := all[1].Revoked(ctx, at(0), now); err != nil || len(gone) != 3 {
		t.Errorf("%v, %v", gone, err)
	}
	if _, err := c.RevokeEnrollment(ctx, "e9", "bob", now, false); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("no such enrollment: %v", err)
	}
}
