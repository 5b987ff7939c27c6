package access_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/written"
)

const goodBook = `
format: 1
roles:
  - name: team-a
    rights: [list, view]
    scopes:
      - {stack: [a, aa], fleet: f1}
      - {group: contractors}
  - name: auditor
    rights: [audit]
bindings:
  - {roles: team-a, groups: [team-a], users: ann@example.com}
  - {roles: [auditor, admin], tokens: nightly}
two_person: {rights: [delete], expires: 2h}
reasons: {required: [view, view-live, download, stop, hold, release, delete]}
`

func TestBook(t *testing.T) {
	b, err := access.Parse([]byte(goodBook))
	if err != nil {
		t.Fatal(err)
	}
	ann := access.Principal{Grants: b.Grants(b.OfPerson("ann@example.com", nil))}
	for _, test := range []struct {
		owner catalog.Owner
		want  bool
	}{
		{catalog.Owner{Stack: "a", Fleet: "f1"}, true},
		{catalog.Owner{Stack: "aa", Fleet: "f1"}, true},
		{catalog.Owner{Stack: "A", Fleet: "f1"}, false},
		{catalog.Owner{Stack: "a", Fleet: "f2"}, false},
		{catalog.Owner{Stack: "b", Groups: []string{"x", "contractors"}}, true},
		{catalog.Owner{}, false},
	} {
		if got := ann.Scope(access.RightView).Has(test.owner); got != test.want {
			t.Errorf("%+v: %v", test.owner, got)
		}
	}
	if ann.May(access.RightStop) || ann.May(access.RightAudit) {
		t.Error("more rights than were given")
	}
	if roles := b.OfPerson("Ann@example.com", []string{"Team-a"}); len(roles) != 0 {
		t.Errorf("another spelling has the roles %v", roles)
	}
	if roles := b.OfToken("nightly"); strings.Join(roles, ",") != "admin,auditor" {
		t.Errorf("the token has the roles %v", roles)
	}
	if wait, needed := b.TwoPeople(access.RightDelete); !needed || wait != 2*time.Hour {
		t.Errorf("deletion waits %v, %v", wait, needed)
	}
	if _, needed := b.TwoPeople(access.RightRelease); needed {
		t.Error("a release needs two people")
	}
	for _, r := range access.Rights() {
		if want := r.Scoped() && r != access.RightList; b.NeedsReason(r) != want {
			t.Errorf("%s needs a reason: %t", r, !want)
		}
	}
	var none *access.Book
	if none.NeedsReason(access.RightDelete) {
		t.Error("no book demands reasons")
	}
	if none.Grants([]string{"team-a"}) != nil || none.OfPerson("ann@example.com", nil) != nil || len(none.Grants([]string{access.RoleAdmin})) != 1 {
		t.Error("no book gives rights")
	}
}

func TestBadBooksAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"roles: [{name: a, rights: [fly]}]":                                                        "line 1: roles[0].rights[0]: must be one of",
		"roles:\n- name: a\n  rights: [list, manage]\n  scopes: [{stack: x}]":                      "line 3: roles[0].rights: \"manage\" is about the whole installation",
		"roles:\n- name: admin\n  rights: [list]":                                                  "line 2: roles[0].name: \"admin\" is the role that is always there",
		"roles:\n- {name: a, rights: [list]}\n- {name: a, rights: [view]}":                         "already the name of a role",
		"bindings:\n- roles: nobody\n  users: [x]":                                                 "line 2: bindings[0].roles: there is no role \"nobody\"",
		"roles:\n- name: a\n  rights: [list]\n  scopes: [{}]":                                      "must not be empty",
		"roles:\n- name: a\n  rights: [list]\n  scopes: []":                                        "must not be empty",
		"two_person: {rights: [view]}":                                                             "must be one of delete, release",
		"two_person: {rights: [delete], expires: 1s}":                                              "is not within",
		"reasons: {required: [list]}":                                                              "line 1: reasons.required[0]: must be one of",
		"reasons: {required: []}":                                                                  "must not be empty",
		"reasons: {required: [view, view]}":                                                        "reasons.required",
		"reasons: {}":                                                                              "reasons",
		"reasons: {required: view}":                                                                "reasons.required",
		"reasons: {required: [view], because: x}":                                                  "reasons.because: is not a known field",
		"oidc: {issuer: \"ftp://x\", client_id: web}":                                              "does not match",
		"oidc: {issuer: \"https://x\", client_id: web, client_secret_file: s, cli_client_id: web}": "public client of its own",
		"rules: []": "rules: is not a known field",
	} {
		_, err := access.Parse([]byte(text))
		if _, ok := written.AsErrors(err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A bad file is refused, and the one before goes on to hold.
func TestABadFileChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.yaml")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(goodBook)
	f, err := access.Open(path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	before := f.Current().Hash()
	put("roles: 7")
	if err := f.Reload(); err == nil || f.Current().Hash() != before {
		t.Errorf("a bad file holds: %v", err)
	}
	put(goodBook + "\n# more")
	if err := f.Reload(); err != nil || f.Current().Hash() == before {
		t.Errorf("a good file does not hold: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); !errors.Is(err, written.ErrFile) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodBook))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := access.Parse(raw)
		if err == nil {
			if again, err := access.Parse(raw); err != nil || again.Hash() != b.Hash() {
				t.Errorf("%q has two hashes", raw)
			}
			if len(b.Grants(nil)) > 0 || len(b.Grants([]string{"no such role"})) > 0 {
				t.Errorf("%q grants rights without a role", raw)
			}
			return
		}
		problems, ok := written.AsErrors(err)
		if !ok || len(problems) == 0 || strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%q: %q", raw, err)
		}
	})
}
