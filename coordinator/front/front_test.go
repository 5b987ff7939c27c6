package front_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/recfleet/recfleet/coordinator/front"
	"github.com/recfleet/recfleet/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnePort(t *testing.T) {
	authority, err := identity.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	machines := grpc.NewServer(grpc.Creds(front.Credentials()))
	grpc_health_v1.RegisterHealthServer(machines, health.NewServer())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- front.Serve(ctx, front.Config{
			Listener: listener, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, GRPC: machines, Logger: hclog.NewNullLogger(),
			Web: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
		})
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority.CACertificate()))
	trust := &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13}
	address := listener.Addr().String()

	idle, err := net.Dial("tcp", address) // never shakes hands; must not hold anybody up
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(trust.Clone())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(call, &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("grpc: %v", err)
	}
	for _, h2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: h2}
		answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]; err != nil || string(body) != want {
			t.Errorf("got %q, %v, want %s", body, err, want)
		}
		_ = answer.Body.Close()
		transport.CloseIdleConnections()
	}
	old := trust.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if conn, err := tls.Dial("tcp", address, old); err == nil {
		t.Error("TLS 1.2 was accepted")
		_ = conn.Close()
	}
	cancel()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not drain")
	}
}
