package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func none(string) string { return "" }

func TestBadInputIsOneLineAndExitCode2(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"--data-dir": dir + "/data", "--listen": "127.0.0.1:0", "--archive": "file://" + dir + "/a", "--nats-url": "tls://127.0.0.1:1"}
	with := func(name, value string) []string {
		var args []string
		for flag, v := range good {
			if flag == name {
				v = value
			}
			if v != "" {
				args = append(args, flag, v)
			}
		}
		if _, ok := good[name]; !ok && name != "" {
			args = append(args, name, value)
		}
		return args
	}
	for name, c := range map[string]struct {
		args []string
		env  string
		want string
	}{
		"unknown flag":    {args: []string{"--paint"}, want: "unknown flag"},
		"argument":        {args: []string{"now"}, want: "unknown command"},
		"no data dir":     {args: with("--data-dir", ""), want: "--data-dir is missing"},
		"file as dir":     {args: with("--data-dir", plain), want: "not a directory"},
		"no address":      {args: with("--listen", "here"), want: "HOST:PORT"},
		"foreign address": {args: with("--archive", "ftp://x"), want: "scheme"},
		"no session":      {args: with("--archive", "file://"+dir+"/{username}/"), want: "session_id"},
		"no broker":       {args: with("", ""), want: "dial broker"},
		"level":           {args: with("--log-level", "loud"), want: "log level"},
		"no patience":     {args: with("--give-up", "soon"), want: "invalid argument"},
		"bad number":      {args: with("--frame-rate", "many"), want: "invalid argument"},
		"bad environment": {args: with("", ""), env: "long", want: "RECFLEET_SEGMENT_LENGTH"},
		"no trust":        {args: with("--nats-trust", plain), want: "plain"},
		"no authority":    {args: with("--nats-ca", dir+"/absent"), want: "absent"},
		"broker-config":   {args: []string{"broker-config", "--data-dir", dir}, want: "--listen is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), c.args, func(name string) string {
				if name == "RECFLEET_SEGMENT_LENGTH" {
					return c.env
				}
				return ""
			}, &stdout, &stderr)
			if lines := strings.Count(stderr.String(), "\n"); code != program.ExitBadInput || lines != 1 || !strings.Contains(stderr.String(), c.want) || stdout.Len() != 0 {
				t.Errorf("exit %d, stdout %q, stderr %q, want %q", code, &stdout, &stderr, c.want)
			}
		})
	}
}

// The written broker configuration, the client files and the ready line are all that a caller needs.
func TestServesWithABrokerOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"broker-config", "--data-dir", data, "--listen", "127.0.0.1:-1", "--store-dir", dir + "/js", "--store-bytes", "100000000"}, none, &out, &out); code != 0 {
		t.Fatalf("exit %d: %s", code, &out)
	}
	options, err := server.ProcessConfigFile(filepath.Join(data, "bus", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	broker, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(20 * time.Second) {
		t.Fatal("the broker does not serve")
	}

	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	exit := make(chan int, 1)
	var stderr bytes.Buffer
	args := []string{"--data-dir", data, "--listen", "127.0.0.1:0", "--archive", "file://" + dir + "/archive", "--log-level", "error"}
	go func() {
		code := run(ctx, args, func(name string) string {
			if name == "RECFLEET_NATS_URL" {
				return "tls://" + broker.Addr().String()
			}
			return ""
		}, write, &stderr)
		_ = write.Close()
		exit <- code
	}()
	lines := bufio.NewScanner(read)
	if !lines.Scan() {
		t.Fatalf("exit %d: %s", <-exit, &stderr)
	}
	client, err := identity.LoadClient(filepath.Join(data, "client.json"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "reccoordinator ready at " + client.Address; lines.Text() != want {
		t.Errorf("%q, want %q", lines.Text(), want)
	}
	conn, err := client.Dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recfleetv1.NewSessionServiceClient(conn).ListSessions(ctx, &recfleetv1.ListSessionsRequest{}); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"agent.json", "encoder.json"} {
		if other, err := identity.LoadClient(filepath.Join(data, name)); err != nil || other.Token == client.Token || other.Address != client.Address {
			t.Errorf("%s: %+v, %v", name, other, err)
		}
	}
	cancel()
	if lines.Scan() {
		t.Errorf("more than one line: %q", lines.Text())
	}
	if code := <-exit; code != 0 {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}

// run is the program but for signals and the exit.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	return program.Run(ctx, command(), program.Environment{Args: args, Getenv: getenv, Stdout: stdout, Stderr: stderr})
}
