package object

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// rotating is a shared credentials file in the place of the environment's.
func rotating(t *testing.T) (write func(access, secret string)) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", path)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	return func(access, secret string) {
		t.Helper()
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// A shared credentials file that is replaced is read again: at once where the service refuses the old ones ...
func TestS3RefusedCredentialsAreReadAgain(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	write := rotating(t)
	write("old", "expired")
	s := openS3(t, name, g.addr, Config{Reread: time.Hour})
	_, err := s.Put(t.Context(), "a", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put with old credentials", err, ErrUnavailable)
	write(gatewayAccess, gatewaySecret)
	await(t, 3*rejections, func() bool {
		_, err = s.Put(t.Context(), "a", strings.NewReader("x"), PutOptions{})
		return err == nil
	})
	if err != nil {
		t.Errorf("put with new credentials: %v", err)
	}
}

// ... and after a while also where it does not.
func TestS3CredentialsAreReadAgainInTime(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	write := rotating(t)
	write(gatewayAccess, gatewaySecret)
	var last atomic.Value
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			last.Store(r.Header.Get("Authorization"))
			next.ServeHTTP(w, r)
		})
	})
	var log bytes.Buffer
	s := openS3(t, name, addr, Config{Reread: 200 * time.Millisecond, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	mustPut(t, s, "a", []byte("x"))
	// A file that is gone for a moment does not stop anything.
	if err := os.Rename(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, func() bool {
		if _, err := s.Stat(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(log.String(), "credentials not read again")
	})
	mustPut(t, s, "b", []byte("x"))
	if strings.Contains(log.String(), gatewaySecret) {
		t.Errorf("logged %q", log.String())
	}
	write("rotated", "other")
	await(t, kept+5*time.Second, func() bool {
		_, _ = s.Stat(t.Context(), "a") // the gateway knows no such key
		authorization, _ := last.Load().(string)
		return strings.Contains(authorization, "Credential=rotated/")
	})
}

// A program that hands out credentials with an end is asked again before it.
func TestS3ProcessCredentialsAreRenewed(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
echo x >> %[1]s/calls
printf '{"Version":1,"AccessKeyId":"%[2]s","SecretAccessKey":"%[3]s","Expiration":"%%s"}' "$(date -u -d '+2 seconds' +%%Y-%%m-%%dT%%H:%%M:%%SZ)"
`, dir, gatewayAccess, gatewaySecret)
	if err := os.WriteFile(filepath.Join(dir, "hand-out"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("[default]\ncredential_process = "+dir+"/hand-out\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	s := openS3(t, name, g.addr, Config{})
	calls := func() int {
		raw, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return bytes.Count(raw, []byte("\n"))
	}
	await(t, 20*time.Second, func() bool {
		if _, err := s.Put(t.Context(), fmt.Sprintf("a%d", calls()), strings.NewReader("x"), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		return calls() >= 3
	})
}

// await waits for a condition.
func await(t *testing.T, most time.Duration, until func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !until(); {
		if time.Now().After(end) {
			t.Fatalf("it did not come within %v", most)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
