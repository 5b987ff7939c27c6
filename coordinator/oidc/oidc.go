// Package oidc knows people by the word of an OpenID Connect provider.
//
// What comes in are ID tokens, as bearer tokens or at the end of a sign-in on the page; what goes out are principals with the roles
// that the access file gives their names and groups. What always holds: a token counts only if the provider has signed it for one of
// our clients and its time is not over; a code counts only together with the secrets of the browser that asked for it.
package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/oauth2"

	"github.com/recfleet/recfleet/coordinator/access"
)

const (
	// skew is how much the provider's clock may be ahead or behind.
	skew = 30 * time.Second
	// askAgain is how long a provider is left alone that did not answer.
	askAgain = 3 * time.Second
	// askLimit bounds one request to it.
	askLimit = 10 * time.Second
	maxName  = 256
)

// Config is what a Provider is made of.
type Config struct {
	access.Provider
	// Secret is the page's client secret, used where Provider names no file; empty for a public client.
	Secret string
	// Page is HOST:PORT of the page, where Provider names no redirect URL.
	Page   string
	Book   func() *access.Book
	Now    func() time.Time
	Logger hclog.Logger
}

// Provider knows people. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *http.Client
	ca     string

	mu     sync.Mutex
	found  *oidc.Provider // nil until it has answered once
	failed error
	asked  time.Time
}

// ErrConfig says that a setting cannot be used; the text names it.
var ErrConfig = errors.New("oidc settings")

// Open reads the files that the settings name. It does not ask the provider, which may be away for now.
func Open(cfg Config) (*Provider, error) {
	p := &Provider{cfg: cfg}
	if file := cfg.ClientSecretFile; file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: client_secret_file: %w", ErrConfig, err)
		}
		if p.cfg.Secret = strings.TrimSpace(string(raw)); p.cfg.Secret == "" {
			return nil, fmt.Errorf("%w: client_secret_file: %s is empty", ErrConfig, file)
		}
	}
	if p.cfg.RedirectURL == "" {
		p.cfg.RedirectURL = "https://" + cfg.Page + "/login/callback"
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		raw, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: ca_file: %w", ErrConfig, err)
		}
		trust.RootCAs, p.ca = x509.NewCertPool(), string(raw)
		if !trust.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%w: ca_file: %s holds no PEM certificate", ErrConfig, cfg.CAFile)
		}
	}
	p.client = &http.Client{
		Timeout: askLimit, Transport: &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the provider sends elsewhere") },
	}
	return p, nil
}

// Close drops connections that wait for further use.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// CA returns the PEM certificates by which the provider is trusted; empty for the system's.
func (p *Provider) CA() string { return p.ca }

// discover returns the provider's own word of where it is asked for what. One that is away is asked again only after a while.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.failed != nil && p.cfg.Now().Sub(p.asked) < askAgain {
		return nil, p.failed
	}
	p.asked = p.cfg.Now()
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	if err != nil {
		p.failed = fmt.Errorf("ask %s: %w", p.cfg.Issuer, err)
		p.cfg.Logger.Warn("sign-in provider did not answer", "issuer", p.cfg.Issuer, "error", err)
		return nil, p.failed
	}
	p.found, p.failed = found, nil
	return found, nil
}

// Authenticate takes an ID token, or an access token of the same form, as a bearer token.
func (p *Provider) Authenticate(ctx context.Context, bearer string) (access.Principal, error) {
	if strings.Count(bearer, ".") != 2 {
		return access.Principal{}, access.ErrStranger
	}
	provider, err := p.discover(ctx)
	if err != nil {
		return access.Principal{}, err
	}
	audiences := append([]string{p.cfg.ClientID}, p.cfg.Audiences...)
	if p.cfg.CLIClientID != "" {
		audiences = append(audiences, p.cfg.CLIClientID)
	}
	who, _, err := p.verify(ctx, provider, bearer, audiences)
	if err != nil {
		p.cfg.Logger.Debug("bearer token refused", "error", err)
		return access.Principal{}, fmt.Errorf("%w: %w", access.ErrStranger, err)
	}
	return who, nil
}

// verify checks signature, issuer, audience and time, and makes a principal of what the token says.
func (p *Provider) verify(ctx context.Context, provider *oidc.Provider, raw string, audiences []string) (access.Principal, *oidc.IDToken, error) {
	token, err := provider.Verifier(&oidc.Config{
		SkipClientIDCheck: true, Now: func() time.Time { return p.cfg.Now().Add(-skew) },
	}).Verify(ctx, raw)
	if err != nil {
		return access.Principal{}, nil, err
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return access.Principal{}, nil, err
	}
	if err := c.meantFor(token.Audience, audiences); err != nil {
		return access.Principal{}, nil, err
	}
	user, err := c.text(p.cfg.UserClaim)
	if err != nil {
		return access.Principal{}, nil, err
	}
	groups, err := c.list(p.cfg.GroupsClaim)
	if err != nil {
		return access.Principal{}, nil, err
	}
	who := p.principal(user, "oidc:"+token.Issuer+"#"+token.Subject, groups)
	who.Expires = token.Expiry
	return who, token, nil
}

// principal is a person with the roles that it has by now.
func (p *Provider) principal(user, person string, groups []string) access.Principal {
	book := p.cfg.Book()
	roles := book.OfPerson(user, groups)
	return access.Principal{
		Kind: access.KindPerson, Name: user, By: access.ByOIDC, Person: person, Roles: roles, Grants: book.Grants(roles),
		Renew: func(context.Context) (access.Principal, error) { return p.principal(user, person, groups), nil },
	}
}

// oauth is the page as a client of the provider.
func (p *Provider) oauth(provider *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.Secret, Endpoint: provider.Endpoint(), RedirectURL: p.cfg.RedirectURL,
		Scopes: append([]string{oidc.ScopeOpenID}, p.cfg.Scopes...),
	}
}
