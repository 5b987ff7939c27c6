package coordinator_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/policy"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// An agent falls silent, and the platform is told to end its session; a user whom no agent ever spoke of is an alarm.
func TestStrictSessionsEndOnThePlatform(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	expired := make(chan string, 10)
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("Connection", "close")
		switch target := r.Header.Get("X-Amz-Target"); {
		case err != nil:
		case strings.HasSuffix(target, ".ExpireSession"):
			expired <- string(body)
			fmt.Fprint(w, "{}")
		case strings.HasSuffix(target, ".DescribeSessions"):
			fmt.Fprintf(w, `{"Sessions":[{"Id":"p-9","UserId":"bob","StackName":"s","FleetName":"f","State":"ACTIVE","ConnectionState":"CONNECTED","StartTime":%d}]}`,
				time.Now().Add(-time.Hour).Unix())
		}
	}))
	defer platform.Close()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, `
defaults: {enforce: expire_session}
rules: []
appstream: {region: eu-west-1, endpoint: %q, expire_after: 10s, watch: [{stack: s, fleet: f}]}`, platform.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := policy.Open(path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := governed{world: newWorld(t, coordinator.Config{Policy: file, Patience: time.Second, Metrics: listener})}
	for _, id := range []string{"p-1", ""} { // the second one is not of this platform
		if _, err := g.start(t, func(r *recfleetv1.StartSessionRequest) { r.Metadata = map[string]string{"AppStream_Session_ID": id} }); err != nil {
			t.Fatal(err)
		}
	}
	g.until("an alarm", func() bool {
		log := g.log.String()
		return strings.Contains(log, "user active, nothing recorded") && strings.Contains(log, "platform_session=p-9")
	})
	g.until("the alarm among the metrics", func() bool {
		got, err := http.Get("http://" + listener.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		body, err := io.ReadAll(got.Body)
		return err == nil && strings.Contains(string(body), "recfleet_platform_users_unrecorded 1\n")
	})
	select {
	case body := <-expired:
		if body != `{"SessionId":"p-1"}` {
			t.Errorf("expired %s", body)
		}
	case <-time.After(time.Minute):
		t.Fatalf("nothing was expired; log:\n%s", g.log.String())
	}
	g.stop()
	if len(expired) != 0 {
		t.Errorf("expired %s too", <-expired)
	}
}
