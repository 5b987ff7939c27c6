package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	bucketName   = "recordings"
	storageStart = 20 * time.Second
)

// storage is where the recordings go.
type storage struct {
	*child // the S3 server; nil for a directory
	url    string
	// credentials is the file that whoever uses the bucket reads; empty for a directory.
	credentials string
}

// startStorage starts the S3 server that STORAGE=s3 asks for, with a bucket that keeps versions and a key pair of its own.
func startStorage(ctx context.Context, cfg config) (*storage, error) {
	if cfg.storage == "file" {
		return &storage{url: "file://" + filepath.Join(cfg.dir, "archive")}, nil
	}
	dir := filepath.Join(cfg.dir, "s3")
	s := &storage{credentials: filepath.Join(dir, "credentials")}
	for _, name := range []string{"buckets", "versions"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, fmt.Errorf("start S3 server: %w", err)
		}
	}
	access, secret, err := keyPair(s.credentials)
	if err != nil {
		return nil, fmt.Errorf("start S3 server: %w", err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, fmt.Errorf("start S3 server: %w", err)
	}
	s.url = "s3://" + bucketName + "@" + address + "/desktops/?insecure=true&versioning=true"
	for name, value := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": s.credentials, "AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("start S3 server: %w", err)
		}
	}
	s.child, err = startChildWith(cfg, []string{"ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret}, "tools/versitygw",
		"--port", address, "--keep-alive", "--quiet", "posix", "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "buckets"))
	if err != nil {
		return nil, err
	}
	if err := s.makeBucket(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// makeBucket waits until the server answers.
func (s *storage) makeBucket(ctx context.Context) error {
	location, err := object.ParseLocation(s.url)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storageStart)
	defer cancel()
	for {
		if err = object.MakeBucket(ctx, location, object.Config{Attempts: 1}); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; see %s", err, s.log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop stops the server, if there is one.
func (s *storage) stop() error {
	if s.child == nil {
		return nil
	}
	return s.child.stop()
}

// keyPair reads the key pair of a credentials file, and makes both where there is none. Only its owner may read the file.
func keyPair(path string) (access, secret string, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw = fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", rand.Text()[:20], rand.Text()+rand.Text())
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch name {
		case "aws_access_key_id":
			access = value
		case "aws_secret_access_key":
			secret = value
		}
	}
	if access == "" || secret == "" {
		return "", "", fmt.Errorf("%s has no key pair", path)
	}
	return access, secret, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// archived looks at the mp4s as they lie in the archive and returns what else lies there.
func (s *storage) archived(ctx context.Context, session *recfleetv1.Session) (others []string, err error) {
	location, err := object.ParseLocation(s.url)
	if err != nil {
		return nil, err
	}
	store, err := object.Open(ctx, location, object.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	var wrong []error
	ours := map[string]bool{}
	folder := ""
	for _, g := range session.GetSegments() {
		r := g.GetRecording()
		if r == nil {
			wrong = append(wrong, fmt.Errorf("segment %d is not archived", g.GetNumber()))
			continue
		}
		ours[r.GetObjectKey()] = true
		folder = r.GetObjectKey()[:strings.LastIndex(r.GetObjectKey(), "/")+1]
		info, err := store.Stat(ctx, r.GetObjectKey())
		switch {
		case err != nil:
			wrong = append(wrong, err)
		case info.Bytes != r.GetBytes() || info.SHA256 != object.Digest(r.GetSha256()):
			wrong = append(wrong, fmt.Errorf("%s has %d bytes with sha256 %s instead of %d with %x", info.Key, info.Bytes, info.SHA256, r.GetBytes(), r.GetSha256()))
		case s.child != nil && info.Version == "":
			wrong = append(wrong, fmt.Errorf("%s has no version", info.Key))
		}
	}
	for info, err := range store.List(ctx, folder) {
		if err != nil {
			return others, errors.Join(append(wrong, err)...)
		}
		if !ours[info.Key] {
			others = append(others, strings.TrimPrefix(info.Key, folder))
		}
	}
	return others, errors.Join(wrong...)
}
