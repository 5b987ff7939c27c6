package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/recfleet/recfleet/internal/filelock"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
)

func TestBadInputIsOneLineAndExitCode2(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := filepath.Join(dir, "data")
	used := filepath.Join(dir, "used")
	if err := os.Mkdir(used, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := filelock.Take(filepath.Join(used, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no data directory":        {nil, "--data-dir"},
		"an unknown flag":          {[]string{"--data-dir", data, "--fast"}, "--fast"},
		"an argument":              {[]string{"--data-dir", data, "now"}, "now"},
		"a file for a directory":   {[]string{"--data-dir", file}, "data directory"},
		"a data directory in use":  {[]string{"--data-dir", used, "--listen", "127.0.0.1:0"}, "in use by another process"},
		"no port":                  {[]string{"--data-dir", data, "--listen", "localhost"}, "listen"},
		"a port in use":            {[]string{"--data-dir", data, "--listen", taken.Addr().String()}, "in use"},
		"a broker's port in use":   {[]string{"--data-dir", data, "--listen", "127.0.0.1:0", "--bus-listen", taken.Addr().String()}, "in use"},
		"an unknown archive":       {[]string{"--data-dir", data, "--listen", "127.0.0.1:0", "--archive", "ftp://x/y"}, "archive"},
		"a frame rate too high":    {[]string{"--data-dir", data, "--listen", "127.0.0.1:0", "--frame-rate", "61"}, "frame rate"},
		"a segment without length": {[]string{"--data-dir", data, "--listen", "127.0.0.1:0", "--segment-length", "1ms"}, "segment length"},
		"no slots":                 {[]string{"--data-dir", data, "--slots", "0"}, "slots"},
		"an unknown level":         {[]string{"--data-dir", data, "--log-level", "loud"}, "loud"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var stdout, stderr bytes.Buffer
			code := program.Run(ctx, command(), program.Environment{Args: append(test.args, quiet(test.args)...), Getenv: none, Stdout: &stdout, Stderr: &stderr})
			if code != program.ExitBadInput || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), test.want) || stdout.Len() != 0 {
				t.Errorf("exit %d, stderr %q, stdout %q", code, &stderr, &stdout)
			}
		})
	}
}

// quiet keeps the log out of what is counted.
func quiet(args []string) []string {
	for _, a := range args {
		if a == "--log-level" {
			return nil
		}
	}
	return []string{"--log-level", "error"}
}

func none(string) string { return "" }

// A start and a stop, twice over the same data: everything serves, and who was known before is known again.
func TestStartsServesAndStops(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	var before identity.Client
	var port []byte
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		exit := make(chan int, 1)
		go func() {
			exit <- program.Run(ctx, command(), program.Environment{
				Args: []string{"--data-dir", data, "--listen", "127.0.0.1:0"}, Getenv: none, Stdout: in,
				Stderr: io.Discard,
			})
			in.Close()
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "recfleet ready at https://127.0.0.1:") {
			t.Fatalf("said %q, %v", line, err)
		}
		client, err := identity.LoadClient(filepath.Join(data, "client.json"))
		if err != nil {
			t.Fatal(err)
		}
		if before.Token != "" && (client.Token != before.Token || client.CACertificate != before.CACertificate) {
			t.Error("a restart changed who is known")
		}
		before = client
		now, err := os.ReadFile(filepath.Join(data, "bus", "port"))
		if err != nil || port != nil && !bytes.Equal(now, port) {
			t.Errorf("the broker moved from port %q to %q, %v: agents that record do not find it", port, now, err)
		}
		port = now
		conn, err := client.Dial()
		if err != nil {
			t.Fatal(err)
		}
		health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health %v, %v", health, err)
		}
		conn.Close()
		cancel()
		if code := <-exit; code != 0 {
			t.Errorf("exit %d", code)
		}
	}
}
