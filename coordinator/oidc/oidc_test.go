package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/test/provider"
)

func book(t *testing.T) func() *access.Book {
	b, err := access.Parse([]byte(`
roles: [{name: viewer, rights: [list, view]}]
bindings: [{roles: viewer, groups: team-a}, {roles: admin, users: ann@example.com}]
`))
	if err != nil {
		t.Fatal(err)
	}
	return func() *access.Book { return b }
}

func open(t *testing.T, at *provider.Provider, change func(*Config)) *Provider {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(at.CA()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Provider: access.Provider{Issuer: at.URL, ClientID: "page", CLIClientID: "recctl", UserClaim: "email", GroupsClaim: "groups", CAFile: ca},
		Secret:   "page-secret", Page: "rec.example.com:7443", Book: book(t), Now: time.Now, Logger: hclog.NewNullLogger(),
	}
	if change != nil {
		change(&cfg)
	}
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func person(more map[string]any) map[string]any {
	c := map[string]any{"sub": "1", "aud": "recctl", "email": "bob@example.com", "email_verified": true, "groups": []string{"team-a"}}
	for k, v := range more {
		c[k] = v
	}
	return c
}

// Only what the provider has signed, for us, for now, about somebody who is told apart, counts.
func TestBearer(t *testing.T) {
	at := provider.Start(t, nil)
	p := open(t, at, nil)
	who, err := p.Authenticate(t.Context(), at.Token(t, nil, person(nil)))
	if err != nil || who.Name != "bob@example.com" || !who.May(access.RightView) || who.May(access.RightDelete) || who.By != access.ByOIDC || who.Expires.IsZero() {
		t.Fatalf("%+v, %v", who, err)
	}
	if err := errors.Join(errIf(who.Person != "oidc:"+at.URL+"#1"), errIf(who.Kind != access.KindPerson)); err != nil {
		t.Errorf("%+v", who)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for name, test := range map[string]struct {
		key  *ecdsa.PrivateKey
		say  map[string]any
		good bool
	}{
		"another's key":         {key: other},
		"another's client":      {say: map[string]any{"aud": "mail"}},
		"given to another":      {say: map[string]any{"aud": []string{"mail", "recctl"}, "azp": "mail"}},
		"also for another":      {say: map[string]any{"aud": []string{"mail", "recctl"}, "azp": "recctl"}, good: true},
		"the page's":            {say: map[string]any{"aud": "page"}, good: true},
		"another's word":        {say: map[string]any{"iss": "https://evil.example.com"}},
		"over":                  {say: map[string]any{"exp": ago(2 * time.Minute)}},
		"over but for clocks":   {say: map[string]any{"exp": ago(10 * time.Second)}, good: true},
		"not yet":               {say: map[string]any{"nbf": ago(-time.Hour)}},
		"an unverified email":   {say: map[string]any{"email_verified": false}},
		"an email, who knows":   {say: map[string]any{"email_verified": nil}},
		"nobody":                {say: map[string]any{"email": ""}},
		"named as the admin":    {say: map[string]any{"email": "admin"}},
		"named as a token":      {say: map[string]any{"email": "token:nightly"}},
		"a name for terminals":  {say: map[string]any{"email": "a\x1b[2J@example.com"}},
		"groups of no names":    {say: map[string]any{"groups": []int{1}}},
		"one group as its name": {say: map[string]any{"groups": "team-a"}, good: true},
	} {
		who, err := p.Authenticate(t.Context(), at.Token(t, test.key, person(test.say)))
		if (err == nil) != test.good || err != nil && !errors.Is(err, access.ErrStranger) {
			t.Errorf("%s: %v, %v", name, who, err)
		}
	}
	for _, raw := range []string{"", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."} {
		if _, err := p.Authenticate(t.Context(), raw); !errors.Is(err, access.ErrStranger) {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if who, err := p.Authenticate(t.Context(), at.Token(t, nil, person(map[string]any{"groups": []string{"team-b"}}))); err != nil || who.May(access.RightList) {
		t.Errorf("another team: %v, %v", who, err)
	}
}

func errIf(bad bool) error {
	if bad {
		return errors.New("bad")
	}
	return nil
}

// visit follows a browser to the provider and back.
func visit(t *testing.T, at *provider.Provider, to string) url.Values {
	t.Helper()
	browser := at.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
	back, err := got.Location()
	if err != nil {
		t.Fatal(err)
	}
	return back.Query()
}

func TestFlow(t *testing.T) {
	at := provider.Start(t, map[string]string{"page": "page-secret"})
	at.SignIn(time.Hour, map[string]any{"sub": "2", "email": "ann@example.com", "email_verified": true})
	p := open(t, at, nil)
	begin := func() (Flow, url.Values) {
		to, f, err := p.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return f, visit(t, at, to)
	}
	f, back := begin()
	who, err := p.Finish(t.Context(), f, back.Get("state"), back.Get("code"))
	if err != nil || who.Name != "ann@example.com" || !who.May(access.RightDelete) {
		t.Fatalf("%+v, %v", who, err)
	}
	if _, err := p.Finish(t.Context(), f, back.Get("state"), back.Get("code")); err == nil {
		t.Error("a code was good twice")
	}
	_, back = begin()
	if _, err := p.Finish(t.Context(), f, back.Get("state"), back.Get("code")); !errors.Is(err, ErrFlow) {
		t.Errorf("another browser's state: %v", err)
	}
	if _, err := p.Finish(t.Context(), Flow{}, "", back.Get("code")); !errors.Is(err, ErrFlow) {
		t.Errorf("no flow: %v", err)
	}
	f, back = begin()
	wrong := f
	wrong.nonce = "x"
	if _, err := p.Finish(t.Context(), wrong, back.Get("state"), back.Get("code")); !errors.Is(err, ErrFlow) {
		t.Errorf("another nonce: %v", err)
	}
	f, back = begin()
	f.verifier = "x"
	if _, err := p.Finish(t.Context(), f, back.Get("state"), back.Get("code")); err == nil {
		t.Error("a code was good without its verifier")
	}
}

// A provider that is away does not keep the coordinator from starting, nor others from being known.
func TestAwayAndBack(t *testing.T) {
	at := provider.Start(t, nil)
	now := time.Now()
	p := open(t, at, func(c *Config) {
		c.Issuer, c.Now = at.URL+"/nowhere", func() time.Time { return now }
	})
	raw := at.Token(t, nil, person(nil))
	if _, err := p.Authenticate(t.Context(), raw); err == nil || errors.Is(err, access.ErrStranger) {
		t.Errorf("away: %v", err)
	}
	p.cfg.Issuer = at.URL
	if _, err := p.Authenticate(t.Context(), raw); err == nil {
		t.Error("it was asked again at once")
	}
	now = now.Add(askAgain)
	if _, err := p.Authenticate(t.Context(), raw); err != nil {
		t.Errorf("back: %v", err)
	}
	if _, _, err := p.Begin(context.Background()); err != nil {
		t.Error(err)
	}
}
