package payload

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// visitor signs in to the page.
func (s *server) visitor(t *testing.T) (base string, browser *http.Client) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.admin.CACertificate))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	t.Cleanup(transport.CloseIdleConnections)
	browser = &http.Client{Jar: jar, Transport: transport}
	base = "https://" + s.address
	answer, err := browser.PostForm(base+"/login", url.Values{"token": {s.admin.Token}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	return base, browser
}

// tree reads a page: its elements with the names of their attributes, and its texts and values.
func tree(t *testing.T, browser *http.Client, target string) (skeleton, texts []string) {
	t.Helper()
	answer, err := browser.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, err)
	}
	root, err := html.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch n.Type {
		case html.ElementNode:
			line := n.Data
			for _, a := range n.Attr {
				line += " " + a.Key
				texts = append(texts, a.Val)
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
					t.Errorf("%s has the attribute %s", target, a.Key)
				}
				if slices.Contains([]string{"href", "src", "action", "data-src", "data-thumbnails", "data-sprite"}, a.Key) && !strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//") {
					t.Errorf("%s leads to %q", target, a.Val)
				}
			}
			skeleton = append(skeleton, line)
		case html.TextNode:
			texts = append(texts, n.Data)
		case html.CommentNode:
			skeleton = append(skeleton, "comment")
		}
	}
	return skeleton, texts
}

// onThePage checks that pages of hostile sessions are, but for their texts, the page of a plain one.
func onThePage(t *testing.T, s *server, plain string, sent map[string]string) {
	base, browser := s.visitor(t)
	recorded, _ := tree(t, browser, base+"/sessions/"+plain)
	var bare []string // of a session without a recording
	for id, payload := range sent {
		skeleton, texts := tree(t, browser, base+"/sessions/"+id)
		if !slices.Contains(skeleton, "button class data-src data-segment data-start data-end data-size data-thumbnails data-sprite") {
			if bare == nil {
				bare = skeleton
			}
			if !slices.Equal(alike(skeleton), alike(bare)) {
				t.Errorf("%q changes the page of its session:\n%q\n%q", payload, skeleton, bare)
			}
		} else if !slices.Equal(alike(skeleton), alike(recorded)) {
			t.Errorf("%q changes the page of its session:\n%q\n%q", payload, skeleton, recorded)
		}
		if !slices.Contains(texts, payload) {
			t.Errorf("%q is not on the page of its session", payload)
		}
		if payload == "plain" {
			continue
		}
		found, texts := tree(t, browser, base+"/?user="+url.QueryEscape(payload))
		if count := len(slices.DeleteFunc(found, func(e string) bool { return e != "tr" })); count != 2 || !slices.Contains(texts, payload) {
			t.Errorf("%d rows for the user %q", count-1, payload)
		}
	}
}

// alike leaves out how many entries there are.
func alike(skeleton []string) []string {
	return slices.Compact(slices.Clone(slices.DeleteFunc(slices.Clone(skeleton), func(e string) bool { return e == "dt" || e == "dd" })))
}
