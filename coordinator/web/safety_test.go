package web

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
)

// everyRoute returns a request's method and path for each route that the page has.
func everyRoute(t *testing.T) map[string][2]string {
	t.Helper()
	p, err := New(Config{Access: access.New(nil), Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string][2]string{}
	for _, pattern := range p.Routes() {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = http.MethodGet, pattern
		}
		path = strings.NewReplacer("{$}", "", "{id}", sessionID, "{number}", "1").Replace(path)
		if strings.Contains(path, "{") {
			t.Fatalf("no path is known for %s", pattern)
		}
		asked[pattern] = [2]string{method, path}
	}
	if len(asked) < 9 {
		t.Fatalf("%d routes", len(asked))
	}
	return asked
}

func do(t *testing.T, browser *http.Client, method, target string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

func TestEveryRouteIsSafe(t *testing.T) {
	base, browser := site(t)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	routes := everyRoute(t)
	for _, signedIn := range []bool{false, true} {
		for pattern, ask := range routes {
			if signedIn {
				signIn(t, base, browser, token) // the last one may have signed out
			}
			for _, path := range []string{ask[1], ask[1] + "%00../..%2f"} {
				answer := do(t, browser, ask[0], base+path)
				for name, want := range map[string]string{
					"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
					"Cache-Control":           "no-store, private", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
					"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
				} {
					if got := answer.Header.Get(name); got != want {
						t.Errorf("%s (signed in: %t): %s is %q", pattern, signedIn, name, got)
					}
				}
				if answer.Header.Get("Permissions-Policy") == "" || answer.StatusCode >= 500 {
					t.Errorf("%s (signed in: %t): %s, %v", pattern, signedIn, answer.Status, answer.Header)
				}
				for _, c := range answer.Cookies() {
					if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.Name == cookieName && c.SameSite != http.SameSiteStrictMode {
						t.Errorf("%s: cookie %v", pattern, c)
					}
				}
			}
			if ask[0] != http.MethodGet {
				for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://elsewhere.example"}} {
					if answer := do(t, browser, ask[0], base+ask[1], header...); answer.StatusCode != http.StatusForbidden {
						t.Errorf("%s by another site (%v): %s", pattern, header, answer.Status)
					}
				}
			}
		}
	}
}

func TestAFilterThatCannotBeIsNamed(t *testing.T) {
	base, browser := site(t)
	signIn(t, base, browser, token)
	for query, want := range map[string]string{
		"user=%00": "user: holds control characters", "stack=%ff": "stack: is not UTF-8", "fleet=a%0Ab": "fleet: holds control characters",
		"instance=" + strings.Repeat("a", 257): "instance: is 257 bytes long, at most 256", "user=a&user=b": "user: is given more than once",
		"text=a%0Ab": "text: holds control characters", "text=" + strings.Repeat("a", 257): "text: is 257 bytes long", "active=soon": "active: is no time",
		"active=1066-10-14": "active: is not in the years", "state=lost": "state: is none that sessions have",
		"page=x": "page: was not made for this list", "page=" + strings.Repeat("a", 600): "page: is 600 bytes long",
	} {
		answer, body := get(t, browser, base+"/?"+query)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%.40s: %s, %s", query, answer.Status, body)
		}
	}
}

// linked is what a page makes a browser ask for.
var linked = regexp.MustCompile(`(?:href|src|action|data-src|poster)="([^"]*)"`)

// No URL that the page makes carries what signs anybody in.
func TestNoTokenIsInAURL(t *testing.T) {
	base, browser := site(t)
	signIn(t, base, browser, token)
	home, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{token}
	for _, c := range browser.Jar.Cookies(home) {
		secrets = append(secrets, c.Value)
	}
	if len(secrets) != 2 {
		t.Fatalf("%d secrets are known", len(secrets))
	}
	seen, next := map[string]bool{}, []string{"/", "/login", "/?user=" + url.QueryEscape(hostile)}
	for len(next) > 0 {
		path := next[0]
		next = next[1:]
		if seen[path] || !strings.HasPrefix(path, "/") {
			continue
		}
		seen[path] = true
		parsed, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		for name := range parsed.Query() {
			if regexp.MustCompile(`(?i)token|secret|passw|signature|credential|cookie`).MatchString(name) {
				t.Errorf("%s has a parameter %s", path, name)
			}
		}
		answer, body := get(t, browser, base+path)
		for _, secret := range secrets {
			if strings.Contains(path, secret) || strings.Contains(answer.Request.URL.String(), secret) || strings.Contains(body, secret) {
				t.Errorf("%s tells a secret", path)
			}
		}
		for _, m := range linked.FindAllStringSubmatch(body, -1) {
			next = append(next, strings.ReplaceAll(m[1], "&amp;", "&"))
		}
	}
	for _, want := range []string{"/sessions/abc", "/sessions/abc/video/1", "/static/player.js"} {
		if !seen[want] {
			t.Errorf("%s was not found", want)
		}
	}
}

func TestGuessingTokensIsSlow(t *testing.T) {
	base, browser := site(t)
	for range 5 {
		if answer := signIn(t, base, browser, "guess"); answer.StatusCode != http.StatusForbidden {
			t.Fatal(answer.Status)
		}
	}
	answer := signIn(t, base, browser, token)
	if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("%s, %v", answer.Status, answer.Header)
	}
}

func TestOneRangeAtATime(t *testing.T) {
	base, browser := site(t)
	signIn(t, base, browser, token)
	many := "bytes=0-1" + strings.Repeat(",0-1", 10_000)
	for _, ranges := range []string{many[:1000], "bytes=0-1,2-3"} {
		if answer, _ := get(t, browser, base+"/sessions/abc/video/1", "Range", ranges); answer.StatusCode != http.StatusRequestedRangeNotSatisfiable {
			t.Errorf("%.20s: %s", ranges, answer.Status)
		}
	}
	answer, body := get(t, browser, base+"/sessions/abc/video/1", "Range", "bytes=99999-")
	if answer.StatusCode != http.StatusRequestedRangeNotSatisfiable || strings.Contains(body, "x/video") || answer.Header.Get("Cache-Control") != "no-store, private" {
		t.Errorf("%s, %v, %q", answer.Status, answer.Header, body)
	}
}
