package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/internal/program"
)

func TestPolicyIsValidated(t *testing.T) {
	validate := func(path string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"policy", "validate", path}, none, &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	if code, out, said := validate("../../deploy/policy.example.yaml"); code != 0 || !strings.Contains(out, "4 rules") || said != "" {
		t.Errorf("the example: exit %d, %q, %q", code, out, said)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("rules:\n- name: a\n  mode: lax\n- frame_rate: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, said := validate(bad)
	want := bad + ":3: rules[0].mode: must be one of strict, grace, best-effort, is \"lax\"\n" +
		bad + ":4: rules[1]: needs a field \"name\"\n" +
		bad + ":4: rules[1].frame_rate: must be at least 1, is 0\n" +
		"reccoordinator: " + bad + " cannot be used: 3 problem(s)\n"
	if code != program.ExitBadInput || out != "" || said != want {
		t.Errorf("exit %d, stdout %q, stderr\n%swant\n%s", code, out, said, want)
	}
	for _, path := range []string{bad + ".absent", t.TempDir()} {
		if code, _, said := validate(path); code != program.ExitBadInput || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: exit %d, %q", path, code, said)
		}
	}
}

func TestPolicySchemaIsPrinted(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"policy", "schema"}, none, &stdout, &stderr); code != 0 || !json.Valid(stdout.Bytes()) {
		t.Errorf("exit %d, %q", code, &stderr)
	}
}

func TestBadPolicyKeepsTheCoordinatorFromStarting(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("rules: [{name: a, mode: lax}, {}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{
		"--data-dir", dir + "/data", "--listen", "127.0.0.1:0", "--archive", "file://" + dir + "/a", "--nats-url", "tls://127.0.0.1:1", "--policy", bad,
	}, none, &stdout, &stderr)
	if code != program.ExitBadInput || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), "and 1 more") {
		t.Errorf("exit %d, %q", code, &stderr)
	}
}
