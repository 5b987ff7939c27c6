package catalog_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

func TestPolicy(t *testing.T) {
	for name, test := range map[string]func(*testing.T, opener){"is kept": testPolicy, "refuses": testRefused} {
		t.Run(name+"/sqlite", func(t *testing.T) { test(t, openAt(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))) })
		t.Run(name+"/postgres", func(t *testing.T) { test(t, openAt(t, newPostgres(t))) })
	}
}

// A session keeps what it was begun under, and its jobs and later calls read the same.
func testPolicy(t *testing.T, open opener) {
	c := open()
	crf := 0
	s := newSession("p")
	s.Policy = catalog.Policy{
		Rule: "payments", Hash: "abc", Mode: "grace", Retention: 90 * 24 * time.Hour, PolicyTerms: catalog.PolicyTerms{
			Version: "7", Grace: time.Minute, Encode: catalog.Encode{CRF: &crf, Preset: "slow", FrameRate: 2, MaxWidth: 1920, MaxHeight: 1080},
			Notice: "recorded\n\"now\"", Activity: []string{"windows"}, Enforce: "expire_session",
		},
	}
	if _, created, err := c.CreateSession(t.Context(), s); err != nil || !created {
		t.Fatal(created, err)
	}
	again := s
	again.Policy = catalog.Policy{Rule: "another"}
	stored, created, err := c.CreateSession(t.Context(), again)
	if err != nil || created || !reflect.DeepEqual(stored.Policy, s.Policy) {
		t.Errorf("a second call made %+v, %v, %v", stored.Policy, created, err)
	}
	report(t, c, "p", 1)
	addSegments(t, c, "p", 1)
	if l := leaseOne(t, c, "e", at(20)); !reflect.DeepEqual(l.Encode, s.Policy.Encode) {
		t.Errorf("leased with %+v", l.Encode)
	}
	create(t, c, "q")
	if q, err := c.Session(t.Context(), "q"); err != nil || !reflect.DeepEqual(q.Policy, catalog.Policy{}) {
		t.Errorf("without a policy %+v, %v", q.Policy, err)
	}
}

// A session that is refused is over from the beginning.
func testRefused(t *testing.T, open opener) {
	c := open()
	s := newSession("r")
	s.State, s.StateReason, s.Policy.Rule = catalog.SessionRefused, "not here", "training"
	for range 2 {
		got, _, err := c.CreateSession(t.Context(), s)
		if err != nil || got.State != catalog.SessionRefused || got.Reason() != "not here" || !got.End.Equal(got.Start) || got.LastSegment != 0 ||
			got.EndedBy != catalog.PartyCoordinator || got.Policy.Rule != "training" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if open, err := c.Unfinished(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("unfinished %v, %v", open, err)
	}
	if found := listAll(t, c, catalog.Filter{States: []catalog.SessionState{catalog.SessionRefused}}, 5); len(found) != 1 {
		t.Errorf("listed %v", found)
	}
	s.ID, s.RequestID, s.State = "x", "request-x", catalog.SessionComplete
	if _, _, err := c.CreateSession(t.Context(), s); err == nil {
		t.Error("a session began complete")
	}
}
