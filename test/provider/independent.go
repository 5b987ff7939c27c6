package provider

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"
)

// Other is a provider that others have written, so that what is understood wrongly here is not understood wrongly by both sides.
type Other struct {
	*mockoidc.MockOIDC
	// CA is the PEM certificate by which it is trusted.
	CA string
	// Browser trusts it, and whatever httptest serves over TLS.
	Browser *http.Client
}

// StartOther runs it over TLS on the loopback interface until the test ends. It knows one client; one that shows no secret is let
// through as public clients are elsewhere, which it has no word for.
func StartOther(t testing.TB) *Other {
	t.Helper()
	lent := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(lent.Close)
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = m.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, _, basic := r.BasicAuth(); r.ParseForm() == nil && !basic && !r.Form.Has("client_secret") {
				r.Form.Set("client_secret", m.ClientSecret)
			}
			next.ServeHTTP(w, r)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		secured := &tls.Config{Certificates: lent.TLS.Certificates, MinVersion: tls.VersionTLS12}
		err = m.Start(tls.NewListener(listener, secured), secured)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return &Other{
		MockOIDC: m, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lent.Certificate().Raw})), Browser: lent.Client(),
	}
}
