package main

import (
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
)

func TestCoordinatorsModeHoldsOverTheHosts(t *testing.T) {
	host := hook.Settings{SpoolDir: t.TempDir(), Mode: "grace", Grace: "7s"}
	if m, err := modeOf(host); err != nil || m != (mode{session.Grace, 7 * time.Second}) {
		t.Errorf("before it was heard: %+v, %v", m, err)
	}
	p, err := spool.Open(spool.Config{Dir: host.SpoolDir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		mode  string
		grace time.Duration
		want  mode
	}{
		{"strict", 0, mode{session.Strict, 7 * time.Second}},
		{"grace", time.Minute, mode{session.Grace, time.Minute}},
		{"", 0, mode{session.Grace, 7 * time.Second}},
		{"lax", 0, mode{session.Grace, 7 * time.Second}},
	} {
		ordered := spool.DefaultSettings()
		ordered.Mode, ordered.Grace = c.mode, c.grace
		if err := p.Remember(ordered); err != nil {
			t.Fatal(err)
		}
		if m, err := modeOf(host); err != nil || m != c.want {
			t.Errorf("after %q: %+v, %v", c.mode, m, err)
		}
	}
	for field, s := range map[string]hook.Settings{
		"mode": {Mode: "lax"}, "grace": {Grace: "never"}, "min_free_bytes": {MinFreeBytes: -1},
	} {
		if _, err := modeOf(s); err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
