package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/identity"
)

// Whatever a visitor asks for, the server is not at fault.
func FuzzQuery(f *testing.F) {
	c, err := catalog.Open(f.Context(), f.TempDir()+"/catalog.db")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { c.Close() })
	p, err := New(Config{Sessions: c, Access: access.New(c, access.Local(identity.Tokens{Admin: token})), Logger: hclog.NewNullLogger()})
	if err != nil {
		f.Fatal(err)
	}
	for _, query := range []string{"user=ann&stack=s", "user=%00", "page=eyJmIjoiIn0", "page=%ff", "user=a&user=b", "fleet=%zz", "text=a*+b&active=2h&state=complete", "active=9999", "state=none", ";&=&%", "id=../.."} {
		f.Add(query, "bytes=0-1", cookieName+"=x")
	}
	// Visitors are held up as anywhere, so each request is of another address.
	address := 0
	f.Fuzz(func(t *testing.T, query, ranges, cookie string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery, r.RequestURI = query, "/?"+query
		r.Header = http.Header{"Range": {ranges}, "Cookie": {cookie}}
		address++
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", address>>16&255, address>>8&255, address&255)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%q: %d", query, w.Code)
		}
		filter, err := filterOf(r.URL.Query(), time.Now())
		if err != nil {
			return
		}
		var wrong *catalog.FilterError // as of a text that asks for nothing
		if _, _, err := c.ListSessions(t.Context(), filter, listSize, ""); err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q was let through: %v", query, err)
		}
	})
}
