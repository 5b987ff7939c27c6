package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
)

func TestBadInputIsOneLineAndExitCode2(t *testing.T) {
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(dir, "encoder.json")
	if err := (identity.Client{Address: "127.0.0.1:1", CACertificate: authority.CACertificate(), Token: "t"}).Write(client); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	archive := "file://" + dir + "/archive"
	good := []string{"--config", client, "--archive", archive, "--work-dir", dir + "/work"}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"unknown flag":        {args: []string{"--color"}, want: "unknown flag"},
		"argument":            {args: append(good, "now"), want: "unknown command"},
		"nothing":             {want: "--archive is missing"},
		"no coordinator":      {args: []string{"--archive", archive}, want: "either --config or all of"},
		"absent config":       {args: []string{"--archive", archive, "--config", "/absent"}, want: "/absent"},
		"config is no JSON":   {args: []string{"--archive", archive, "--config", plain}, want: "client file"},
		"ca is no PEM":        {args: []string{"--archive", archive, "--coordinator", "h:1", "--ca", plain, "--token-file", plain}, want: "not PEM"},
		"bad address":         {args: append(good, "--coordinator", "here"), want: "HOST:PORT"},
		"bad location":        {args: append(good, "--archive", "ftp://x"), want: "ftp"},
		"unwritable archive":  {args: append(good, "--archive", "file:///dev/null/x"), want: "/dev/null/x"},
		"slots":               {args: append(good, "--slots", "0"), want: "slots"},
		"slots by variable":   {args: good, env: map[string]string{"RECFLEET_SLOTS": "many"}, want: "RECFLEET_SLOTS"},
		"archive by variable": {args: good[:2], env: map[string]string{"RECFLEET_ARCHIVE": "ftp://x"}, want: "ftp"},
		"work directory":      {args: append(good, "--work-dir", "/dev/null/x"), want: "work directory"},
		"log level":           {args: append(good, "--log-level", "loud"), want: "loud"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			code := run(ctx, c.args, func(name string) string { return c.env[name] }, &stdout, &stderr)
			if code != program.ExitBadInput || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), c.want) || stdout.Len() != 0 {
				t.Errorf("exit %d, stderr %q, stdout %q", code, &stderr, &stdout)
			}
		})
	}
}

func TestTheFlagWins(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--archive", "ftp://flag"}, func(name string) string {
		if name == "RECFLEET_ARCHIVE" {
			return "ftp://variable"
		}
		return ""
	}, &stdout, &stderr)
	if code != program.ExitBadInput || strings.Contains(stderr.String(), "variable") {
		t.Errorf("exit %d, %s", code, &stderr)
	}
}

func TestTheSignalEndsAnEncoderWithoutCoordinator(t *testing.T) {
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(dir, "encoder.json")
	if err := (identity.Client{Address: "127.0.0.1:1", CACertificate: authority.CACertificate(), Token: "t"}).Write(client); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"--config", client, "--archive", "file://" + dir + "/archive", "--work-dir", dir + "/work"},
		func(string) string { return "" }, &stdout, &stderr)
	if code != 0 || !strings.Contains(stderr.String(), "coordinator not reached") || stdout.Len() != 0 {
		t.Errorf("exit %d, stderr %s, stdout %s", code, &stderr, &stdout)
	}
}

// run is the program but for signals and the exit.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	return program.Run(ctx, command(nil), program.Environment{Args: args, Getenv: getenv, Stdout: stdout, Stderr: stderr})
}
