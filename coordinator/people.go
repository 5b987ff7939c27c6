package coordinator

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/enroll"
	"github.com/recfleet/recfleet/coordinator/oidc"
	"github.com/recfleet/recfleet/coordinator/ops/health"
	"github.com/recfleet/recfleet/coordinator/refusals"
	"github.com/recfleet/recfleet/coordinator/web"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// buildAccess makes what decides who may do what, people and machines.
func (p *parts) buildAccess(c Config, store *catalog.Catalog) (err error) {
	authenticators := []access.Authenticator{access.Local(c.Tokens), access.Made(store, c.Access.Current, time.Now)}
	if p.provider, err = c.provider(); err != nil {
		return err
	}
	if p.provider != nil {
		authenticators = append(authenticators, p.provider)
	}
	p.refusals = refusals.New(store, time.Now, c.Logger.Named("refusals"))
	p.enroll, err = enroll.New(enroll.Config{
		Catalog: store, Authority: c.Authority, Bus: c.Broker, AWS: enroll.NewSTS(&http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: checkTimeout, DisableKeepAlives: true,
		}), Logger: c.Logger.Named("enroll"),
	})
	if err != nil {
		return err
	}
	p.control = access.New(store, authenticators...)
	p.control.DemandReasons(c.Access.Current)
	p.control.Report(p.refusals)
	p.control.TrustCertificates(p.enroll)
	return nil
}

// buildPage makes the page, with a declared right for each of its routes.
func (p *parts) buildPage(ctx context.Context, c Config, store *catalog.Catalog) (err error) {
	cfg := web.Config{
		Sessions: &wishing{Catalog: store, want: p.board.Want}, Objects: c.Store, Access: p.control, Audit: store, Logger: c.Logger.Named("web"),
	}
	if p.provider != nil {
		cfg.SignIn = p.provider
	}
	if links := object.LinksOf(c.Store); links != nil {
		if cfg.LinksOrigin, err = links.Origin(ctx); err != nil {
			return err
		}
		cfg.Links = links
	}
	page, err := web.New(cfg)
	if err != nil {
		return err
	}
	p.page = page
	return p.control.CoversRoutes(append(page.Routes(), health.Routes()...))
}

// provider opens the one by whose word people sign in; nil where the access file names none.
func (c Config) provider() (*oidc.Provider, error) {
	settings := c.Access.Current().Provider()
	if settings == nil {
		return nil, nil
	}
	p, err := oidc.Open(oidc.Config{
		Provider: *settings, Secret: c.OIDCSecret, Page: c.Address, Book: c.Access.Current, Now: time.Now, Logger: c.Logger.Named("oidc"),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return p, nil
}

// signIn is what recctl login needs to know.
func (c Config) signIn(p *oidc.Provider) *recfleetv1.GetSignInResponse {
	settings := c.Access.Current().Provider()
	if p == nil || settings.CLIClientID == "" {
		return nil
	}
	return &recfleetv1.GetSignInResponse{Issuer: settings.Issuer, ClientId: settings.CLIClientID, Scopes: settings.Scopes, CaCertificate: p.CA()}
}
