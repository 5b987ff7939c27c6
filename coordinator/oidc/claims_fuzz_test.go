package oidc

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/recfleet/recfleet/coordinator/access"
)

// Whatever a provider says of somebody, it is a name that is nobody else's and a list of groups, or is refused in one line.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"email":"ann@x","email_verified":true,"groups":["a","b"],"azp":"page"}`), "email", "page")
	f.Add([]byte(`{"email":"ann@x","email_verified":"no","groups":"a"}`), "email", "page")
	f.Add([]byte(`{"sub":"admin","groups":[1]}`), "sub", "page")
	f.Add([]byte(`{"sub":"token:x\n","azp":"other"}`), "sub", "page")
	f.Add([]byte(`null`), "", "")
	f.Fuzz(func(t *testing.T, raw []byte, claim, audience string) {
		var c claims
		if json.Unmarshal(raw, &c) != nil {
			return
		}
		name, err := c.text(claim)
		if err != nil {
			told(t, err)
		} else if c[claim] != name || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || access.Reserved(name) {
			t.Errorf("%q is the name of somebody", name)
		} else if verified := c["email_verified"]; claim == "email" && verified != true && verified != "true" {
			t.Errorf("%s counts as verified", raw)
		}
		if groups, err := c.list("groups"); err != nil {
			told(t, err)
		} else if len(groups) > maxGroups {
			t.Errorf("%d groups", len(groups))
		}
		if err := c.meantFor([]string{audience}, []string{"page", "cli"}); err != nil {
			told(t, err)
		} else if party, ok := c["azp"].(string); !slices.Contains([]string{"page", "cli"}, audience) || ok && party != "page" && party != "cli" {
			t.Errorf("%s for %q is for us", raw, audience)
		}
	})
}

func told(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("%q", err)
	}
}
