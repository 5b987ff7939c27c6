package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// renewBefore is how long before its end a token is renewed.
	renewBefore = time.Minute
	askLimit    = 15 * time.Second
)

// signedIn is what a sign-in has left, in a file for its owner alone. It shows an ID token with every call and renews it in time.
type signedIn struct {
	Issuer        string    `json:"issuer"`
	ClientID      string    `json:"client_id"`
	Scopes        []string  `json:"scopes"`
	CACertificate string    `json:"ca_certificate,omitempty"`
	IDToken       string    `json:"id_token"`
	RefreshToken  string    `json:"refresh_token,omitempty"`
	Expires       time.Time `json:"expires"`

	path string
	now  func() time.Time
	mu   sync.Mutex
}

// signInPath is where the sign-in of the present context is kept.
func (a *app) signInPath() (string, error) {
	if !a.target.profile.SignIn || a.target.name == "" {
		return "", usageError{fmt.Errorf("%s is not signed in to: only a context with sign_in: true is", a.target.source)}
	}
	dir := a.configDir()
	if path := a.Getenv("RECFLEET_CONFIG"); path != "" {
		dir = filepath.Dir(path)
	}
	return filepath.Join(dir, "sign-in", a.target.name+".json"), nil
}

// deniedError is about a caller that has to show who it is first.
type deniedError struct{ error }

func (d deniedError) Unwrap() error { return d.error }

func (a *app) openSignedIn() (*signedIn, error) {
	path, err := a.signInPath()
	if err != nil {
		return nil, err
	}
	s, err := readSignedIn(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, deniedError{fmt.Errorf("not signed in to %s: recctl login --context %s", a.target.source, a.target.name)}
	}
	if err != nil {
		return nil, usageError{err}
	}
	s.now = a.Now
	return s, nil
}

func readSignedIn(path string) (*signedIn, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if err := private(path); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &signedIn{path: path}
	if err := json.Unmarshal(raw, s); err != nil || s.IDToken == "" {
		return nil, fmt.Errorf("%s is damaged: recctl logout, and login again", path)
	}
	return s, nil
}

// write keeps the sign-in, whole or not at all.
func (s *signedIn) write() error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keep sign-in: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("keep sign-in: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), ".sign-in-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("keep sign-in: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("keep sign-in: %w", err)
	}
	return nil
}

// provider asks the provider where it is asked for what.
func (s *signedIn) provider(ctx context.Context) (context.Context, *oidc.Provider, *oauth2.Config, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if s.CACertificate != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(s.CACertificate)) {
			return ctx, nil, nil, errors.New("the provider's certificate is not PEM")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: askLimit, Transport: transport})
	p, err := oidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		return ctx, nil, nil, fmt.Errorf("ask the sign-in provider: %w", err)
	}
	scopes := []string{oidc.ScopeOpenID}
	// Not every provider has this one, and some refuse the whole sign-in for it. One that says nothing of scopes is asked.
	var says struct {
		Scopes []string `json:"scopes_supported"`
	}
	wanted := slices.Clone(s.Scopes)
	if err := p.Claims(&says); err != nil || len(says.Scopes) == 0 || slices.Contains(says.Scopes, oidc.ScopeOfflineAccess) {
		wanted = append(wanted, oidc.ScopeOfflineAccess)
	}
	for _, one := range wanted {
		if one != oidc.ScopeOpenID {
			scopes = append(scopes, one)
		}
	}
	return ctx, p, &oauth2.Config{ClientID: s.ClientID, Endpoint: p.Endpoint(), Scopes: scopes}, nil
}

// take checks what the provider gave and keeps it.
func (s *signedIn) take(ctx context.Context, p *oidc.Provider, token *oauth2.Token, nonce string) error {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return errors.New("the provider gave no ID token")
	}
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: s.ClientID, Now: s.now}).Verify(ctx, raw)
	if err != nil {
		return fmt.Errorf("check ID token: %w", err)
	}
	if nonce != "" && id.Nonce != nonce {
		return errors.New("the ID token is not of this sign-in")
	}
	s.IDToken, s.Expires = raw, id.Expiry
	if token.RefreshToken != "" {
		s.RefreshToken = token.RefreshToken
	}
	return s.write()
}

// GetRequestMetadata shows the token, renewed where its end is near.
func (s *signedIn) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Add(renewBefore).After(s.Expires) {
		if err := s.renew(ctx); err != nil {
			return nil, err
		}
	}
	return map[string]string{"authorization": "Bearer " + s.IDToken}, nil
}

// RequireTransportSecurity keeps the token from open connections.
func (*signedIn) RequireTransportSecurity() bool { return true }

// renew gets another token. Another recctl may have done so: then its token is as good, and the one that it used up is good no more.
func (s *signedIn) renew(ctx context.Context) error {
	if other, err := readSignedIn(s.path); err == nil && other.Expires.After(s.Expires) {
		s.IDToken, s.RefreshToken, s.Expires = other.IDToken, other.RefreshToken, other.Expires
		if s.now().Add(renewBefore).Before(s.Expires) {
			return nil
		}
	}
	again := func(why string) error { return status.Error(codes.Unauthenticated, why+": recctl login") }
	if s.RefreshToken == "" {
		if s.now().Before(s.Expires) {
			return nil
		}
		return again("the sign-in has ended")
	}
	ctx, p, config, err := s.provider(ctx)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: s.RefreshToken, Expiry: time.Unix(1, 0)}).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return again("the provider does not renew the sign-in")
	}
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if err := s.take(ctx, p, token, ""); err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	return nil
}
