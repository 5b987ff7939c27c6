package coordinator

import (
	"fmt"
	"time"

	"github.com/recfleet/recfleet/coordinator/oidc"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

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
