package identity

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestSecretsAreMadeOnceAndForTheOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	first, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenAuthority(dir)
	if err != nil || second.CACertificate() != first.CACertificate() {
		t.Errorf("a second start made another authority: %v", err)
	}
	tokens, err := OpenTokens(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenTokens(dir); err != nil || again != tokens {
		t.Errorf("a second start made other tokens: %v", err)
	}
	if tokens.Admin == tokens.Agent || tokens.Agent == tokens.Encoder {
		t.Error("roles share a token")
	}
	if err := tokens.WriteClients(dir, "127.0.0.1:1", first.CACertificate()); err != nil {
		t.Fatal(err)
	}
	if c, err := LoadClient(filepath.Join(dir, "agent.json")); err != nil || c.Token != tokens.Agent {
		t.Errorf("the agents' file: %v, %v", c, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 6 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestDamagedTokensAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens.json")
	if err := os.WriteFile(path, []byte(`{"admin":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTokens(dir); err == nil {
		t.Error("damaged tokens were taken")
	}
}

func TestClientFileIsChecked(t *testing.T) {
	authority, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	good := Client{Address: "127.0.0.1:1", CACertificate: authority.CACertificate(), Token: "t"}
	path := filepath.Join(t.TempDir(), "client.json")
	if err := good.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadClient(path); err != nil || got != good {
		t.Errorf("read back %+v, %v", got, err)
	}
	for field, spoil := range map[string]func(*Client){
		"address":        func(c *Client) { c.Address = "nowhere" },
		"token":          func(c *Client) { c.Token = "a\nb" },
		"ca certificate": func(c *Client) { c.CACertificate = "no PEM" },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("bad %s: %v", field, err)
		}
	}
	if err := os.WriteFile(path, []byte("\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadClient(path); err == nil {
		t.Error("a file of noise was taken")
	}
}

// A client reaches only the server that its own authority has signed, and shows its token.
func TestDialTrustsOneAuthority(t *testing.T) {
	ours, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ours.ServerCertificate([]string{"recorder.example", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13})))
	grpc_health_v1.RegisterHealthServer(server, tokenCheck{})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	call := func(ca, token string) codes.Code {
		conn, err := Client{Address: listener.Addr().String(), CACertificate: ca, Token: token}.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		return status.Code(err)
	}
	if got := call(ours.CACertificate(), "secret"); got != codes.OK {
		t.Errorf("own authority: %v", got)
	}
	if got := call(ours.CACertificate(), "other"); got != codes.Unauthenticated {
		t.Errorf("another token: %v", got)
	}
	if got := call(theirs.CACertificate(), "secret"); got != codes.Unavailable {
		t.Errorf("another authority: %v", got)
	}
}

type tokenCheck struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (tokenCheck) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer secret" {
		return nil, status.Error(codes.Unauthenticated, "unknown token")
	}
	return &grpc_health_v1.HealthCheckResponse{}, nil
}
