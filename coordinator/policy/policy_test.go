package policy_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/policy"
)

func parse(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func example(t *testing.T) *policy.Policy {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/policy.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(raw))
}

func TestExampleDecides(t *testing.T) {
	p := example(t)
	if len(p.Hash()) != 64 || p.Version() != "2026-09" || p.Rules() != 4 {
		t.Errorf("hash %q, version %q, %d rules", p.Hash(), p.Version(), p.Rules())
	}
	eighteen, twentyThree := 18, 23
	base := policy.Decision{
		Hash: p.Hash(), Version: "2026-09", Record: true, Mode: policy.ModeStrict, FrameRate: 5, SegmentLength: 5 * time.Minute,
		Encode: policy.Encode{Preset: "fast", CRF: &twentyThree}, Retention: 90 * 24 * time.Hour, Notice: "This session is being recorded.",
		Enforce: policy.EnforceExpireSession,
	}
	with := func(change func(*policy.Decision)) policy.Decision {
		d := base
		change(&d)
		return d
	}
	for name, test := range map[string]struct {
		subject policy.Subject
		want    policy.Decision
	}{
		"no rule": {policy.Subject{User: "carl", Stack: "desktop"}, base},
		"not recorded": {policy.Subject{User: "ext-1", Stack: "training-room"}, with(func(d *policy.Decision) {
			d.Rule, d.Record, d.Reason, d.Enforce = "training-rooms", false, "Training rooms are not recorded.", policy.EnforceNone
		})},
		"a group by name": {policy.Subject{User: "EXT-7"}, with(func(d *policy.Decision) {
			d.Rule, d.FrameRate, d.Retention = "contractors", 10, 730*24*time.Hour
			d.Activity = []string{"clipboard", "processes", "windows"}
		})},
		"a group of the metadata": {policy.Subject{User: "carl", Metadata: map[string]string{"groups": "staff; Contractors"}}, with(func(d *policy.Decision) {
			d.Rule, d.FrameRate, d.Retention = "contractors", 10, 730*24*time.Hour
			d.Activity = []string{"clipboard", "processes", "windows"}
		})},
		"metadata and fleet": {policy.Subject{Fleet: "payments-eu", Metadata: map[string]string{"tag.env": "prod"}}, with(func(d *policy.Decision) {
			d.Rule, d.SegmentLength = "payments", 2*time.Minute
			d.Encode.CRF, d.Encode.MaxWidth, d.Encode.MaxHeight = &eighteen, 2560, 1600
		})},
		"a fleet without the metadata": {policy.Subject{Fleet: "payments-eu"}, base},
		"grace instead of strict": {policy.Subject{Metadata: map[string]string{"tag.env": "test"}}, with(func(d *policy.Decision) {
			d.Rule, d.Mode, d.Grace, d.Retention, d.Enforce = "development", policy.ModeGrace, 10*time.Minute, 14*24*time.Hour, policy.EnforceNone
			d.Encode.CRF, d.Encode.Bitrate, d.Encode.FrameRate = nil, 800_000, 2
		})},
	} {
		t.Run(name, func(t *testing.T) {
			if got := p.Decide(test.subject); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
	a := p.AppStream()
	want := policy.AppStream{Region: "eu-central-1", ExpireAfter: 2 * time.Minute, AlarmAfter: time.Minute, Watch: []policy.Fleet{
		{Stack: "payments", Fleet: "payments-eu", Authentication: []string{"api", "saml", "userpool"}},
		{Stack: "desktop", Fleet: "treasury", Authentication: []string{"saml"}},
	}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("appstream %+v", a)
	}
}

func TestNoPolicyRecordsAsBefore(t *testing.T) {
	var p *policy.Policy
	if d := p.Decide(policy.Subject{User: "ann"}); !reflect.DeepEqual(d, policy.Decision{Record: true}) {
		t.Errorf("%+v", d)
	}
	if p.Hash() != "" || p.Try(policy.Subject{}) != nil || len(p.AppStream().Watch) != 0 {
		t.Error("no policy has contents")
	}
}

// What a rule changes of the defaults is its own.
func TestDefaultsAndRules(t *testing.T) {
	p := parse(t, `
defaults: {record: no, mode: grace, grace: 30s, encode: {bitrate: 1M, preset: fast}, retention: 2w, activity: [windows], pool: gpu}
rules:
- {name: strict, match: {user: a}, record: yes, mode: strict, enforce: expire_session, retention: forever, activity: [], pool: any}
- {name: default-mode, match: {user: b}, record: true}
- {name: best, match: {user: c}, record: true, mode: best-effort, encode: {crf: 0}}
`)
	strict := p.Decide(policy.Subject{User: "a"})
	if !strict.Record || strict.Reason != "" || strict.Mode != policy.ModeStrict || strict.Grace != 0 || strict.Enforce != policy.EnforceExpireSession ||
		strict.Retention != 0 || len(strict.Activity) != 0 || strict.Pool != "" {
		t.Errorf("strict %+v", strict)
	}
	if d := p.Decide(policy.Subject{User: "b"}); d.Mode != policy.ModeGrace || d.Grace != 30*time.Second || d.Retention != 14*24*time.Hour || d.Enforce != "" || d.Pool != "gpu" {
		t.Errorf("default mode %+v", d)
	}
	best := p.Decide(policy.Subject{User: "c"})
	if best.Grace != 0 || best.Encode.CRF == nil || *best.Encode.CRF != 0 || best.Encode.Bitrate != 0 || best.Encode.Preset != "fast" {
		t.Errorf("best effort %+v", best)
	}
	none := p.Decide(policy.Subject{User: "d"})
	if none.Record || none.Rule != "" || none.Reason == "" {
		t.Errorf("no rule %+v", none)
	}
	*best.Encode.CRF = 51
	if again := p.Decide(policy.Subject{User: "c"}); *again.Encode.CRF != 0 {
		t.Error("a decision's owner changed the policy")
	}
}

func TestModeGraceHasADefault(t *testing.T) {
	p := parse(t, "rules: [{name: a, mode: grace}]")
	if d := p.Decide(policy.Subject{}); d.Grace != policy.DefaultGrace {
		t.Errorf("grace %v", d.Grace)
	}
}

func TestTry(t *testing.T) {
	p := example(t)
	got := p.Try(policy.Subject{User: "carl", Stack: "desktop", Fleet: "payments-eu", Metadata: map[string]string{"tag.env": "test"}})
	want := []policy.Trial{
		{Rule: "training-rooms", Mismatch: "stack"}, {Rule: "contractors", Mismatch: "group"}, {Rule: "payments", Mismatch: "metadata.tag.env"},
		{Rule: "development", Matched: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := p.Groups(policy.Subject{User: "Ann", Groups: []string{"z"}, Metadata: map[string]string{"group": "m"}}); !slices.Equal(got, []string{"m", "trainers", "z"}) {
		t.Errorf("groups %q", got)
	}
}

func TestGlobs(t *testing.T) {
	for _, test := range []struct {
		pattern, value string
		want           bool
	}{
		{"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"*", "", true}, {"*", "anything at all", true}, {"?", "é", true}, {"?", "", false},
		{"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-b-b", false}, {"*-eu", "x-eu-eu", true}, {`a\*`, "a*", true}, {`a\*`, "ab", false}, {`a\?`, "ab", false},
		{`a\`, `a\`, true}, {"**", "x", true}, {"a**", "a", true}, {"*a?", "aab", true},
		{strings.Repeat("*a", 100) + "b", strings.Repeat("a", 4000), false}, // does not take for ever
	} {
		raw, err := json.Marshal(map[string]any{"rules": []any{map[string]any{"name": "r", "match": map[string]any{"stack": test.pattern}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, string(raw)).Decide(policy.Subject{Stack: test.value}).Rule == "r"; got != test.want {
			t.Errorf("%.20q on %.20q: %v", test.pattern, test.value, got)
		}
	}
}
