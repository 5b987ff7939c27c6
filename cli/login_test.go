package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/provider"
)

// heard is a buffer that is read while it is written.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *heard) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *heard) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func claims() map[string]any {
	return map[string]any{"sub": "1", "email": "ann@example.com", "email_verified": true}
}

// signing is what signs in to a provider, without a coordinator.
func signing(t *testing.T, p *provider.Provider) (*app, *signedIn, *heard) {
	t.Helper()
	said := &heard{}
	a := &app{Program: Program{Stderr: said, Stdout: said, Now: time.Now, Getenv: func(string) string { return "" }}}
	s := &signedIn{Issuer: p.URL, ClientID: "recctl", CACertificate: p.CA(), path: filepath.Join(t.TempDir(), "sign-in", "prod.json"), now: time.Now}
	return a, s, said
}

// awaitSaid waits for something to be said.
func awaitSaid(t *testing.T, said *heard, pattern string) string {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); time.Now().Before(end); <-tick.C {
		if m := regexp.MustCompile(pattern).FindString(said.String()); m != "" {
			return m
		}
	}
	t.Fatalf("%q was not said: %s", pattern, said)
	return ""
}

func TestSignInByBrowser(t *testing.T) {
	p := provider.Start(t, map[string]string{"recctl": ""})
	p.SignIn(time.Hour, claims())
	a, s, said := signing(t, p)
	ctx, op, config, err := s.provider(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		token, err := a.byBrowser(ctx, config, "the-nonce")
		if err == nil {
			err = s.take(ctx, op, token, "the-nonce")
		}
		done <- err
	}()
	at := awaitSaid(t, said, `https://\S+`)
	to, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	visit := func(browser *http.Client, to string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if got := visit(http.DefaultClient, to.Query().Get("redirect_uri")+"?state=other&code=x"); got != http.StatusForbidden {
		t.Errorf("another's code was taken: %d", got)
	}
	if got := visit(p.Client(), at); got != http.StatusOK {
		t.Errorf("the browser got %d", got)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if strings.Contains(said.String(), s.IDToken) || strings.Contains(said.String(), s.RefreshToken) {
		t.Error("a token was printed")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSignInByCodeAndRenewal(t *testing.T) {
	p := provider.Start(t, map[string]string{"recctl": ""})
	p.SignIn(30*time.Second, claims()) // which is due for renewal at once
	a, s, said := signing(t, p)
	ctx, op, config, err := s.provider(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		token, err := a.byDevice(ctx, config)
		if err == nil {
			err = s.take(ctx, op, token, "")
		}
		done <- err
	}()
	awaitSaid(t, said, "enter the code ABCD-EFGH")
	p.Approve()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	first := s.IDToken
	p.SignIn(time.Hour, claims())
	got, err := s.GetRequestMetadata(context.Background())
	if err != nil || s.IDToken == first || got["authorization"] != "Bearer "+s.IDToken {
		t.Fatalf("not renewed: %v", err)
	}
	kept, err := readSignedIn(s.path)
	if err != nil || kept.IDToken != s.IDToken {
		t.Errorf("another token is kept: %v", err)
	}
	// One that was begun before takes what this one has kept: its own refresh token is used up.
	other := &signedIn{Issuer: s.Issuer, ClientID: s.ClientID, CACertificate: s.CACertificate, IDToken: first, RefreshToken: "used", Expires: time.Now(), path: s.path, now: time.Now}
	if got, err := other.GetRequestMetadata(t.Context()); err != nil || got["authorization"] != "Bearer "+s.IDToken {
		t.Errorf("another recctl: %v", err)
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	if _, err := (&signedIn{Issuer: s.Issuer, ClientID: s.ClientID, CACertificate: s.CACertificate, RefreshToken: "used", path: s.path, now: time.Now}).GetRequestMetadata(t.Context()); err == nil || !strings.Contains(err.Error(), "recctl login") {
		t.Errorf("a refresh token of no use: %v", err)
	}
}

// The same with a provider that others have written: it signs with RSA, and checks the challenge by itself.
func TestSignInByBrowserOfAnotherProvider(t *testing.T) {
	p := provider.StartOther(t)
	said := &heard{}
	a := &app{Program: Program{Stderr: said, Stdout: said, Now: time.Now, Getenv: func(string) string { return "" }}}
	s := &signedIn{
		Issuer: p.Issuer(), ClientID: p.ClientID, CACertificate: p.CA, Scopes: []string{"email"}, path: filepath.Join(t.TempDir(), "sign-in", "prod.json"), now: time.Now,
	}
	ctx, op, config, err := s.provider(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		token, err := a.byBrowser(ctx, config, "the-nonce")
		if err == nil && s.take(ctx, op, token, "another-nonce") == nil {
			err = errors.New("a token for another sign-in was taken")
		}
		if err == nil {
			err = s.take(ctx, op, token, "the-nonce")
		}
		done <- err
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, awaitSaid(t, said, `https://\S+`), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.Browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	p.Browser.CloseIdleConnections()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the browser got %d", answer.StatusCode)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	kept, err := readSignedIn(s.path)
	if err != nil || kept.IDToken != s.IDToken {
		t.Errorf("another token is kept: %v", err)
	}
	s.Expires = time.Now()
	if got, err := s.GetRequestMetadata(t.Context()); err != nil || got["authorization"] != "Bearer "+s.IDToken || s.IDToken == "" {
		t.Errorf("not renewed: %v", err)
	}
}
