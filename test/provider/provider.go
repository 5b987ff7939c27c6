// Package provider is an OpenID Connect provider for tests: it speaks the protocol as far as a client can tell, and signs in whoever
// the test says, without asking.
package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Provider is a running provider.
type Provider struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu      sync.Mutex
	claims  map[string]any
	clients map[string]string // their secrets, empty for public ones
	codes   map[string]asked
	refresh map[string]asked
	devices map[string]asked
	granted map[string]bool
	life    time.Duration
}

// asked is what a client wanted.
type asked struct{ client, nonce, challenge, redirect string }

// Start runs a provider over TLS until the test ends. Clients are ids with their secrets.
func Start(t testing.TB, clients map[string]string) *Provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{
		key: key, clients: clients, codes: map[string]asked{}, refresh: map[string]asked{}, devices: map[string]asked{}, granted: map[string]bool{}, life: time.Hour,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /auth", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /device", p.device)
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

// CA is the PEM certificate by which the provider is trusted.
func (p *Provider) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

// SignIn has everybody who comes from now on be who the claims say, for so long.
func (p *Provider) SignIn(life time.Duration, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims, p.life = claims, life
}

// Approve lets all devices that wait in.
func (p *Provider) Approve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for code := range p.devices {
		p.granted[code] = true
	}
}

// Waiting is how many devices wait for their approval.
func (p *Provider) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.devices)
}

// Token signs what a test says on top of what every token has, with the provider's key or another.
func (p *Provider) Token(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	if key == nil {
		key = p.key
	}
	all := map[string]any{"iss": p.URL, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	raw, err := sign(key, all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func sign(key *ecdsa.PrivateKey, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "one"}}, nil)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"device_authorization_endpoint": p.URL + "/device", "id_token_signing_alg_values_supported": []string{"ES256"},
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "code_challenge_methods_supported": []string{"S256"},
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
}

// authorize signs in at once, where the client does what clients must.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.clients[q.Get("client_id")]
	if err != nil || !known || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.codes[code] = asked{q.Get("client_id"), q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (p *Provider) device(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := rand.Text()
	p.devices[code] = asked{client: r.PostFormValue("client_id")}
	answer(w, http.StatusOK, map[string]any{"device_code": code, "user_code": "ABCD-EFGH", "verification_uri": p.URL + "/activate", "expires_in": 300, "interval": 1})
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	client, secret, ok := r.BasicAuth()
	if !ok {
		client, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if want, known := p.clients[client]; !known || want != secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	from, with := p.codes, r.PostFormValue("code")
	switch r.PostFormValue("grant_type") {
	case "refresh_token":
		from, with = p.refresh, r.PostFormValue("refresh_token")
	case "urn:ietf:params:oauth:grant-type:device_code":
		from, with = p.devices, r.PostFormValue("device_code")
		if _, waits := p.devices[with]; waits && !p.granted[with] {
			answer(w, http.StatusBadRequest, map[string]any{"error": "authorization_pending"})
			return
		}
	}
	a, known := from[with]
	delete(from, with) // each is good once
	proof := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || a.client != client || a.challenge != "" && base64.RawURLEncoding.EncodeToString(proof[:]) != a.challenge ||
		a.redirect != "" && a.redirect != r.PostFormValue("redirect_uri") {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	all := map[string]any{"iss": p.URL, "aud": client, "iat": time.Now().Unix(), "exp": time.Now().Add(p.life).Unix()}
	maps.Copy(all, p.claims)
	if a.nonce != "" {
		all["nonce"] = a.nonce
	}
	id, err := sign(p.key, all)
	if err != nil {
		answer(w, http.StatusInternalServerError, map[string]any{"error": "server_error"})
		return
	}
	next := strings.ToLower(rand.Text())
	p.refresh[next] = asked{client: client}
	answer(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": int(p.life.Seconds()), "id_token": id, "refresh_token": next,
	})
}
