package web

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/oidc"
	"github.com/recfleet/recfleet/test/provider"
)

// A browser goes to the provider and comes back as somebody, once; one that was not sent away comes back as nobody.
func TestSignInByProvider(t *testing.T) {
	t.Run("of our own", func(t *testing.T) {
		at := provider.Start(t, map[string]string{"page": ""})
		at.SignIn(time.Hour, map[string]any{"sub": "1", "email": "ann@example.com", "email_verified": true})
		signInBy(t, access.Provider{Issuer: at.URL, ClientID: "page"}, "", at.CA())
	})
	t.Run("of others", func(t *testing.T) {
		at := provider.StartOther(t)
		ann := &mockoidc.MockUser{Subject: "1", Email: "ann@example.com", EmailVerified: true, Groups: []string{"team-a"}}
		at.QueueUser(ann)
		signInBy(t, access.Provider{Issuer: at.Issuer(), ClientID: at.ClientID, Scopes: []string{"email", "groups"}}, at.ClientSecret, at.CA)
	})
}

func signInBy(t *testing.T, as access.Provider, secret, authority string) {
	t.Helper()
	c, err := catalog.Open(t.Context(), t.TempDir()+"/catalog.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	book, err := access.Parse([]byte("roles: [{name: viewer, rights: [list]}]\nbindings: [{roles: viewer, users: ann@example.com}]"))
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(authority), 0o600); err != nil {
		t.Fatal(err)
	}
	var handler http.Handler
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	as.UserClaim, as.GroupsClaim, as.CAFile, as.RedirectURL = "email", "groups", ca, server.URL+"/login/callback"
	signIn, err := oidc.Open(oidc.Config{
		Provider: as, Secret: secret, Book: func() *access.Book { return book }, Now: time.Now, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(signIn.Close)
	handler, err = New(Config{Sessions: c, Access: access.New(c, signIn), SignIn: signIn, Audit: c, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	browser := server.Client() // trusts the provider as well: both have the same test certificate
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	var back string
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/login/callback" {
			back = r.URL.String()
		}
		return nil
	}
	if _, body := get(t, browser, server.URL+"/login"); !strings.Contains(body, `href="/login/oidc"`) {
		t.Error("no way to the provider")
	}
	answer, body := get(t, browser, server.URL+"/login/oidc")
	if answer.StatusCode != http.StatusOK || !strings.Contains(body, "Signed in") {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	strict := false
	for _, cookie := range answer.Cookies() {
		strict = strict || cookie.Name == cookieName && cookie.SameSite == http.SameSiteStrictMode && cookie.Secure && cookie.HttpOnly
	}
	if answer, body := get(t, browser, server.URL+"/"); !strict || answer.StatusCode != http.StatusOK || !strings.Contains(body, "Recordings") {
		t.Errorf("signed in: %d, strict %v", answer.StatusCode, strict)
	}
	if answer, _ := get(t, browser, back); answer.StatusCode != http.StatusForbidden {
		t.Errorf("the way back was open twice: %d", answer.StatusCode)
	}
	browser.Jar, _ = cookiejar.New(nil)
	if answer, _ := get(t, browser, back); answer.StatusCode != http.StatusForbidden {
		t.Errorf("another browser came back: %d", answer.StatusCode)
	}
}
