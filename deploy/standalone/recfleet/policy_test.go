package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// A hangup lets a good policy hold, and a bad one leaves the old one as it is.
func TestHangupReadsThePolicyAgain(t *testing.T) {
	dir := t.TempDir()
	data, path := filepath.Join(dir, "data"), filepath.Join(dir, "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("version: one\nrules: []")
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	said, log := io.Pipe()
	logged := make(chan string, 1000)
	go func() {
		defer close(logged)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			logged <- lines.Text()
		}
	}()
	exit := make(chan int, 1)
	go func() {
		exit <- program.Run(ctx, command(), program.Environment{
			Args: []string{"--data-dir", data, "--listen", "127.0.0.1:0", "--policy", path}, Getenv: none, Stdout: in, Stderr: log,
		})
		in.Close()
		log.Close()
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("said %q, %v", line, err)
	}
	await := func(what string) {
		t.Helper()
		limit := time.After(30 * time.Second)
		for {
			select {
			case line, ok := <-logged:
				if !ok || strings.Contains(line, what) {
					return
				}
			case <-limit:
				t.Fatalf("never logged: %s", what)
			}
		}
	}
	client, err := identity.LoadClient(filepath.Join(data, "client.json"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Dial()
	if err != nil {
		t.Fatal(err)
	}
	version := func() string {
		t.Helper()
		answer, err := recfleetv1.NewPolicyServiceClient(conn).TestPolicy(ctx, &recfleetv1.TestPolicyRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetPolicyVersion()
	}
	hangup := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if v := version(); v != "one" {
		t.Errorf("version %q at the start", v)
	}
	write("version: two\nrules: [{name: x, mode: lax}]")
	hangup()
	await("policy refused")
	if v := version(); v != "one" {
		t.Errorf("version %q after a bad file", v)
	}
	write("version: three\nrules: []")
	hangup()
	await("policy reloaded")
	if v := version(); v != "three" {
		t.Errorf("version %q after a good file", v)
	}
	conn.Close()
	cancel()
	for range logged {
	}
	if code := <-exit; code != 0 {
		t.Errorf("exit %d", code)
	}
}
