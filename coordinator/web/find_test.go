package web

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

func TestASessionIsFoundByWhatIsKnownOfIt(t *testing.T) {
	base, browser := site(t)
	signIn(t, base, browser, token)
	for query, found := range map[string]bool{
		"text=abc": true, "text=nobody": false, "active=2026-03-01+12:00:30": true, "active=2026-03-01+11:00": false, "state=refused": false,
	} {
		if _, body := get(t, browser, base+"/?"+query); strings.Contains(body, "/sessions/"+sessionID) != found {
			t.Errorf("%s: found %t, want %t:\n%s", query, !found, found, body)
		}
	}
	if _, body := get(t, browser, base+"/?text=%22%3Cb%3E&state=complete"); strings.Contains(body, "<b>") || !strings.Contains(body, `<option selected>complete`) {
		t.Errorf("what was asked for is not in the form as text:\n%s", body)
	}
}

// The next page asks what the first one did, and a time that was told by the present one stays as it was.
func TestOlderSessionsAreThoseOfTheSameQuestion(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC)
	asked := map[string]string{"user": `a&b="c`, "active": "2h", "state": "complete", "fleet": ""}
	query := url.Values{}
	for field, value := range asked {
		query.Set(field, value)
	}
	first, err := filterOf(query, now)
	if err != nil {
		t.Fatal(err)
	}
	next, err := url.Parse(string(older(asked, first, "next")))
	if err != nil {
		t.Fatal(err)
	}
	second, err := filterOf(next.Query(), now.Add(time.Hour))
	if err != nil || fmt.Sprint(second) != fmt.Sprint(first) || next.Query().Get("page") != "next" {
		t.Errorf("%v, then %v, %v", first, second, err)
	}
	if want := now.Add(-2 * time.Hour); !first.ActiveAt.Equal(want) || first.States[0] != catalog.SessionComplete {
		t.Errorf("asked for %v", first)
	}
}

var olderLink = regexp.MustCompile(`<a href="([^"]*)">Older sessions`)

func TestOlderSessionsAreReached(t *testing.T) {
	base, browser, log := auditedSite(t)
	signIn(t, base, browser, token)
	const crowd = 2*listSize + 1
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range crowd {
		id := fmt.Sprintf("crowd%04d", n)
		if _, _, err := log.CreateSession(t.Context(), catalog.Session{
			ID: id, RequestID: id, State: catalog.SessionStarting, User: "crowd", Start: start, Created: start, LastSegment: catalog.Unknown,
		}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for at := "/?text=crowd"; at != ""; {
		_, body := get(t, browser, base+at)
		for _, m := range regexp.MustCompile(`/sessions/(crowd[0-9]+)"`).FindAllStringSubmatch(body, -1) {
			seen[m[1]] = true
		}
		at = ""
		if m := olderLink.FindStringSubmatch(body); m != nil {
			at = html.UnescapeString(m[1])
		}
	}
	if len(seen) != crowd {
		t.Errorf("%d sessions on all pages, want %d", len(seen), crowd)
	}
}
