package hook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/recfleet/recfleet/internal/identity"
)

// Settings is what a configuration file says, in YAML or JSON; the server's client file is one.
type Settings struct {
	identity.Client `json:",inline"`
	Display         string            `json:"display,omitempty"`
	Authority       string            `json:"xauthority,omitempty"`
	User            string            `json:"user,omitempty"`
	SpoolDir        string            `json:"spool_dir,omitempty"`
	MaxSpoolBytes   int64             `json:"max_spool_bytes,omitempty"`
	Metadata        map[string]string `json:"meta,omitempty"`
	// Mode, Grace and MinFreeBytes say what becomes of a recording that the coordinator does not know of: a mode's name, and for
	// how long (as "5m") in the mode grace.
	Mode         string `json:"mode,omitempty"`
	Grace        string `json:"grace,omitempty"`
	MinFreeBytes int64  `json:"min_free_bytes,omitempty"`
	// Grabber is what takes pictures: x11, or ffmpeg; empty for x11, for which FFmpeg stands in where it cannot.
	Grabber string `json:"grabber,omitempty"`
	// AWSProfile is the profile of AWS's shared files that joins where the token is for identities of AWS; empty for the usual one.
	AWSProfile string `json:"aws_profile,omitempty"`
	// SystemBus is the address of the bus on which the login manager is asked; empty for the system's.
	SystemBus string `json:"system_bus,omitempty"`
	// Sitting is given by start, not by people.
	Sitting string `json:"sitting,omitempty"`
}

// ReadSecret reads a file with a secret in it. One that other users can read or write, or that belongs to one, is refused.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !ours(st):
		return nil, fmt.Errorf("%s belongs to another user", path)
	case st.Mode().Perm()&0o026 != 0:
		return nil, fmt.Errorf("%s holds a secret and is open to other users (mode %o)", path, st.Mode().Perm())
	}
	return io.ReadAll(io.LimitReader(f, maxSettings))
}

// Load reads a configuration file. Fields that are not known are passed over: the client file may have others.
func Load(path string) (Settings, error) {
	var s Settings
	b, err := ReadSecret(path)
	if err != nil {
		return s, fmt.Errorf("read configuration: %w", err)
	}
	if err := yaml.Unmarshal(b, &s); err != nil {
		// The parser's messages have several lines and quote what they did not like, which may be the token.
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return s, fmt.Errorf("read configuration %s: %s cannot be a %s", path, wrong.Field, wrong.Value)
		}
		return s, fmt.Errorf("read configuration %s: it is not YAML or JSON of the right form", path)
	}
	return s, nil
}

// Save writes the settings for their owner alone.
func (s Settings) Save(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := writePrivate(path, append(b, '\n')); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// The limits of metadata are the protocol's.
const (
	maxMetadata = 64
	maxKey      = 128
	maxValue    = 4096
	maxSettings = 1 << 20
)

// AddMetadata adds a "key=value" to the metadata.
func (s *Settings) AddMetadata(pair string) error {
	k, v, ok := strings.Cut(pair, "=")
	switch {
	case !ok || k == "":
		return fmt.Errorf("metadata %q is not key=value", pair)
	case len(k) > maxKey || len(v) > maxValue:
		return fmt.Errorf("metadata %.40q is longer than %d=%d bytes", pair, maxKey, maxValue)
	}
	if s.Metadata == nil {
		s.Metadata = make(map[string]string)
	}
	s.Metadata[k] = v
	return nil
}

// Validate says what cannot be right.
func (s *Settings) Validate() error {
	if err := s.Client.Validate(); err != nil {
		return err
	}
	// A few are added by the agent.
	if len(s.Metadata) > maxMetadata-8 {
		return fmt.Errorf("%d entries of metadata are more than %d", len(s.Metadata), maxMetadata-8)
	}
	for k, v := range s.Metadata {
		if k == "" || len(k) > maxKey || len(v) > maxValue {
			return fmt.Errorf("metadata %.40q is longer than %d=%d bytes", k, maxKey, maxValue)
		}
	}
	if s.MaxSpoolBytes < 0 {
		return errors.New("max_spool_bytes is negative")
	}
	if !filepath.IsAbs(s.SpoolDir) {
		return fmt.Errorf("spool directory %q is not absolute", s.SpoolDir)
	}
	return nil
}

// Reach connects to the coordinator once, to tell early that it is not there or is somebody else.
func (s *Settings) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return fmt.Errorf("coordinator %q is not HOST:PORT", s.Address)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.CACertificate)) {
		return errors.New("the CA certificate is not PEM")
	}
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}}
	c, err := d.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("coordinator %s is not reachable: %w", s.Address, err)
	}
	return c.Close()
}
