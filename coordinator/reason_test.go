package coordinator_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/access"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// A coordinator whose access file begins to demand reasons demands them of calls and of its page at once.
func TestReasonsAreDemandedAfterASignal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.yaml")
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := access.Open(path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	reload := make(chan os.Signal, 1)
	w := newWorld(t, coordinator.Config{Access: file, AccessReload: reload})
	a := newAgent(w)
	a.segment(1)
	hold := func() codes.Code {
		_, err := recfleetv1.NewSessionServiceClient(w.admin).HoldSession(t.Context(), &recfleetv1.HoldSessionRequest{SessionId: a.session})
		return status.Code(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.authority.Pool(), MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: transport, Jar: jar}
	read := func(answer *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	home := "https://" + w.address
	read(browser.PostForm(home+"/login", url.Values{"token": {w.tokens.Admin}}))
	play := func() int {
		code, _ := read(browser.Get(home + "/sessions/" + a.session + "/video/1"))
		return code
	}
	if h, p := hold(), play(); h != codes.OK || p != http.StatusNotFound { // there is no mp4 yet
		t.Fatalf("before: %v, %d", h, p)
	}
	if err := os.WriteFile(path, []byte("reasons: {required: [hold, view-live]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload <- syscall.SIGHUP
	w.until("reasons are demanded", func() bool { return hold() == codes.InvalidArgument })
	if code := play(); code != http.StatusForbidden {
		t.Errorf("played without a reason: %d", code)
	}
	if code, body := read(browser.PostForm(home+"/sessions/"+a.session+"/reason", url.Values{"reason": {"case 7"}})); code != http.StatusOK || !strings.Contains(body, "case 7") {
		t.Errorf("the reason: %d\n%s", code, body)
	}
	if code := play(); code != http.StatusNotFound {
		t.Errorf("after the reason: %d", code)
	}
}
