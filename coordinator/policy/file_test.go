package policy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/coordinator/written"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// words is a log to read back.
type words struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("never: %s", what)
}

func TestReloadRefusesABadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := &words{}
	logger := hclog.New(&hclog.LoggerOptions{Output: log})
	if _, err := policy.Open(path, logger); !errors.Is(err, written.ErrFile) {
		t.Errorf("a missing file: %v", err)
	}
	write("rules: [{name: a, mode: lax}]")
	if _, err := policy.Open(path, logger); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a bad file: %v", err)
	}
	write("version: one\nrules: [{name: a, frame_rate: 1}]")
	f, err := policy.Open(path, logger)
	if err != nil {
		t.Fatal(err)
	}
	first := f.Current()
	if !log.has("policy_hash="+first.Hash()) || !log.has("policy_version=one") {
		t.Error("hash and version are not in the log")
	}

	ctx, cancel := context.WithCancel(t.Context())
	signals, done := make(chan os.Signal, 1), make(chan error, 1)
	go func() { done <- f.Run(ctx, signals) }()

	write("rules: [{name: a, frame_rate: 99}]")
	signals <- syscall.SIGHUP
	eventually(t, "a bad file is refused", func() bool { return log.has("[ERROR] policy refused") && log.has("must be at most 60") })
	if f.Current() != first {
		t.Error("a bad file took the place of the old one")
	}
	write("version: two\nrules: [{name: a, frame_rate: 9}]")
	signals <- syscall.SIGHUP
	eventually(t, "a good file holds", func() bool { return f.Current().Version() == "two" })
	if d := f.Current().Decide(policy.Subject{}); d.FrameRate != 9 || d.Hash == first.Hash() {
		t.Errorf("decided %+v", d)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
