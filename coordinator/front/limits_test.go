package front_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/coordinator/front"
	"github.com/recfleet/recfleet/internal/identity"
)

// serve serves a page that says "here" and returns its port, and how to trust it.
func serve(t *testing.T) (port string, trust *tls.Config) {
	t.Helper()
	authority, err := identity.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- front.Serve(ctx, front.Config{
			Listener: listener, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, GRPC: grpc.NewServer(grpc.Creds(front.Credentials())),
			Logger: hclog.NewNullLogger(), Web: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority.CACertificate()))
	return listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
}

// visit opens a connection from an address and asks for the page; it returns what comes.
func visit(t *testing.T, from, to string, trust *tls.Config, request string) (*tls.Conn, string) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp4", to, trust)
	if err != nil {
		return nil, "" // closed before the handshake was over on this side
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return conn, ""
	}
	answer := make([]byte, 4096)
	n, _ := conn.Read(answer) // what is not answered is empty
	return conn, string(answer[:n])
}

const page = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

func TestOneAddressDoesNotTakeAllConnections(t *testing.T) {
	address, trust := serve(t)
	var first *tls.Conn
	for i := range 256 {
		conn, answer := visit(t, "127.0.0.1", address, trust, page)
		if !strings.HasPrefix(answer, "HTTP/1.1 200") {
			t.Fatalf("connection %d: %q", i, answer)
		}
		if first == nil {
			first = conn
		}
	}
	if _, answer := visit(t, "127.0.0.1", address, trust, page); answer != "" {
		t.Errorf("one too many got %q", answer)
	}
	if _, answer := visit(t, "127.0.0.2", address, trust, page); !strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Errorf("another address got %q", answer)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, answer := visit(t, "127.0.0.1", address, trust, page); answer != "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed makes no room")
		}
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	address, trust := serve(t)
	_, answer := visit(t, "127.0.0.1", address, trust, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 431") {
		t.Errorf("got %q", answer)
	}
}

// Headers that come drop by drop end the connection.
func TestSlowHeadersEnd(t *testing.T) {
	t.Parallel()
	address, trust := serve(t)
	conn, answer := visit(t, "127.0.0.1", address, trust, "GET / HTTP/1.1\r\nHost: loc")
	if conn == nil || strings.Contains(answer, "200") {
		t.Fatalf("got %q", answer)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still served")
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // it comes as it is
		t.Error("the connection stays open")
	}
}
