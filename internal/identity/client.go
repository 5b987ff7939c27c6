// Package identity holds who is who on the wire: the server's certificate authority, the tokens that callers show, and the
// client file that carries an address, the authority's certificate and a token to a caller.
//
// Everything secret lies in files of mode 0600, made at first use and never changed by a second start.
package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"sigs.k8s.io/yaml"
)

// Client is what a caller needs to reach a coordinator.
type Client struct {
	// Address is HOST:PORT.
	Address string `json:"address"`
	// CACertificate is the PEM of the authority that signed the coordinator's certificate.
	CACertificate string `json:"ca_certificate"`
	// Token says who the caller is; a secret. Empty for one that shows something else, or nothing.
	Token string `json:"token"`
}

// LoadClient reads a client file, in YAML or JSON. Other fields in it are passed over.
func LoadClient(path string) (Client, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Client{}, fmt.Errorf("read client file: %w", err)
	}
	var c Client
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return Client{}, fmt.Errorf("read client file %s: not YAML or JSON", path)
	}
	if err := c.Validate(); err != nil {
		return Client{}, fmt.Errorf("read client file %s: %w", path, err)
	}
	return c, nil
}

// Validate reports the first field that cannot be right.
func (c Client) Validate() error {
	host, port, err := net.SplitHostPort(c.Address)
	switch {
	case c.Address == "":
		return errors.New("address is missing")
	case err != nil || host == "" || port == "":
		return fmt.Errorf("address %q is not HOST:PORT", c.Address)
	case c.Token == "":
		return errors.New("token is missing")
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("token holds characters that no token has")
	}
	if _, err := c.roots(); err != nil {
		return err
	}
	return nil
}

// Write writes the client file for its owner alone, whole or not at all.
func (c Client) Write(path string) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write client file: %w", err)
	}
	if err := WriteSecret(path, append(raw, '\n')); err != nil {
		return fmt.Errorf("write client file: %w", err)
	}
	return nil
}

func (c Client) roots() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.CACertificate)) {
		return nil, errors.New("ca certificate is not PEM")
	}
	return pool, nil
}

// Dial returns a connection that shows the token, where there is one, with every call, over TLS 1.3 and nothing less. It does not wait for the
// coordinator to answer, and reconnects by itself.
func (c Client) Dial(extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	return c.dial(nil, extra)
}

// DialAnonymous is Dial without showing anything.
func (c Client) DialAnonymous(extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	c.Token = ""
	return c.dial(nil, extra)
}

// DialCertificate is Dial with a certificate in the place of the token.
func (c Client) DialCertificate(own tls.Certificate, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	c.Token = ""
	return c.dial([]tls.Certificate{own}, extra)
}

func (c Client) dial(own []tls.Certificate, extra []grpc.DialOption) (*grpc.ClientConn, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.Address, err)
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: own, MinVersion: tls.VersionTLS13})),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}, extra...)
	if c.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(c.Token)))
	}
	conn, err := grpc.NewClient("passthrough:///"+c.Address, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.Address, err)
	}
	return conn, nil
}

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// WriteSecret writes a file of mode 0600 whose content is whole or absent, also after a power cut.
func WriteSecret(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
