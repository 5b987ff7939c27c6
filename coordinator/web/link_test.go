package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
)

// archive makes links that say what they were made of.
type archive struct{ made []string }

const archiveOrigin = "https://archive.example"

func (a *archive) Link(_ context.Context, key, version string, o object.LinkOptions) (string, error) {
	link := archiveOrigin + "/" + key + "?version=" + version + "&type=" + o.ContentType + "&secret=" + o.Disposition
	a.made = append(a.made, link)
	return link, nil
}

// With links an mp4 is read in the archive, by an address that is made when it is written down who reads, and shown nowhere else.
func TestLinksAreHandedOutAfterTheRecord(t *testing.T) {
	_, browser, log := auditedSite(t)
	links := &archive{}
	control := access.New(log.Catalog, access.Local(identity.Tokens{Admin: token}))
	page, err := New(Config{
		Sessions: log.Catalog, Objects: log.store, Links: links, LinksOrigin: archiveOrigin, Access: control, Audit: log, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(page)
	t.Cleanup(server.Close)
	browser.Transport = server.Client().Transport
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	signIn(t, server.URL, browser, token)
	of := server.URL + "/sessions/" + sessionID
	log.torn.Store(true)
	for _, what := range []string{"/video/1", "/download/1"} {
		if answer, _ := get(t, browser, of+what); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Location") != "" || len(links.made) > 0 {
			t.Errorf("%s without a record: %d, %v", what, answer.StatusCode, links.made)
		}
	}
	log.torn.Store(false)
	for what, disposition := range map[string]string{"/video/1": "inline", "/download/1": "attachment"} {
		answer, body := get(t, browser, of+what)
		link := answer.Header.Get("Location")
		if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(link, archiveOrigin+"/x/video-000001.mp4?") || !strings.Contains(link, "type=video/mp4&secret="+disposition) || body != "" {
			t.Errorf("%s: %d %q %q", what, answer.StatusCode, link, body)
		}
	}
	if answer, body := get(t, browser, of+"/sprite/1"); answer.StatusCode != http.StatusOK || body != sprite {
		t.Errorf("a picture that is drawn: %d", answer.StatusCode)
	}
	answer, body := get(t, browser, of)
	if csp := answer.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "media-src 'self' "+archiveOrigin+";") || strings.Count(csp, archiveOrigin) != 1 || strings.Contains(body, archiveOrigin) {
		t.Errorf("%s\n%s", csp, body)
	}
	actions := map[string]int{}
	for _, r := range log.records(t) {
		actions[r.Action]++
	}
	if actions["recording.play"] != 1 || actions["recording.download"] != 1 || len(links.made) != 2 {
		t.Errorf("%v, %d links", actions, len(links.made))
	}
}
