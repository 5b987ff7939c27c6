package policy_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/coordinator/written"
)

// lines returns what is wrong as "line: path: text".
func lines(t *testing.T, text string) []string {
	t.Helper()
	_, err := policy.Parse([]byte(text))
	problems, ok := written.AsErrors(err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	var all []string
	for _, p := range problems {
		all = append(all, fmt.Sprintf("%d: %s", p.Line, p))
	}
	return all
}

func TestEveryProblemIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"several at once": {`
format: 2
rules:
  - name: "a b"   # no name
    match:
      user: 7
      paint: red
  - name: second
    record: maybe
    frame_rate: 61
    encode:
      crf: 52
      preset: quick
      tune: film
    notice: |
      mode: this is no field
      frame_rate: 99
    mode: lax
`, []string{
			"2: format: must be 1",
			`4: rules[0].name: "a b" does not match ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`,
			`6: rules[0].match.user: must be text or a list, is a number`,
			"7: rules[0].match.paint: is not a known field",
			"9: rules[1].record: must be yes or no, is text",
			"10: rules[1].frame_rate: must be at most 60, is 61",
			"12: rules[1].encode.crf: must be at most 51, is 52",
			`13: rules[1].encode.preset: must be one of ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow, is "quick"`,
			"14: rules[1].encode.tune: is not a known field",
			`18: rules[1].mode: must be one of strict, grace, best-effort, is "lax"`,
		}},
		"what the schema cannot say": {`
defaults:
  mode: best-effort
  enforce: expire_session
rules:
- name: one
  match: {user: x}
  grace: 5m
- name: one
  encode: {crf: 1, bitrate: 1M}
  segment_length: 2h
  retention: 5m
- name: three
  reason: because
  encode:
    bitrate: 1k
appstream:
  expire_after: 1s
  watch: [{stack: a, fleet: b}, {stack: a, fleet: b}]
`, []string{
			"4: defaults.enforce: expire_session needs a session that is recorded in the mode strict",
			"8: rules[0].grace: has no meaning in the mode best-effort",
			`9: rules[1].name: "one" is already the name of rules[0]`,
			"10: rules[1].encode: has both crf and bitrate; give one of them",
			`11: rules[1].segment_length: "2h" is not within 1s to 1h`,
			`12: rules[1].retention: "5m" is not within 1h to 36500d`,
			"13: rules[2]: is never reached: rules[1] (one) matches everything",
			"14: rules[2].reason: has no meaning where the session is recorded",
			`16: rules[2].encode.bitrate: "1k" is not within 10k to 100M`,
			`18: appstream.expire_after: "1s" is not within 10s to 24h`,
			"19: appstream.watch[1]: names the same stack and fleet as an entry before",
		}},
		"JSON": {`{
  "rules": [
    {
      "name": "a",
      "frame_rate": 0
    },
    {
      "name": "b",
      "recrd": true
    }
  ]
}`, []string{
			"5: rules[0].frame_rate: must be at least 1, is 0",
			"9: rules[1].recrd: is not a known field",
		}},
		"no fields":          {"", []string{"0: must be a set of fields, is empty"}},
		"no rules":           {"version: 1", []string{`0: needs a field "rules"`}},
		"no name":            {"rules:\n- record: true", []string{`2: rules[0]: needs a field "name"`}},
		"a field twice":      {"rules: []\nversion: 1\nversion: 2", []string{`3: key "version" already set in map`}},
		"no YAML":            {"rules: []\nx: [", []string{"2: did not find expected node content"}},
		"a second document":  {"rules: []\n---\nrules: []", []string{"2: a second document begins here; only one is read"}},
		"no duration":        {"rules:\n- name: a\n  retention: 90", []string{"3: rules[0].retention: must be text, is a number"}},
		"no unit":            {"rules:\n- name: a\n  retention: \"90\"", []string{`3: rules[0].retention: "90" is no duration: write it as 90s, 1h30m or 90d`}},
		"an empty match":     {"rules:\n- name: a\n  match: {}", []string{"3: rules[0].match: must not be empty"}},
		"an empty list":      {"rules:\n- name: a\n  match:\n    user: []", []string{"4: rules[0].match.user: must not be empty"}},
		"odd characters":     {"rules: []\n\"\\e[31m\\n\": 1", []string{`0: ["\x1b[31m\n"]: is not a known field`}},
		"a text for a field": {"rules: []\nappstream: us", []string{"2: appstream: must be a set of fields, is text"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(t, test.text); !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	if got := lines(t, "rules: []\n#"+strings.Repeat("x", 1<<20)); len(got) != 1 || !strings.Contains(got[0], "larger than") {
		t.Errorf("%q", got)
	}
}

// Whatever a file holds, it is a policy or there is a reason, one line each, that a terminal can show.
func FuzzParse(f *testing.F) {
	raw, err := os.ReadFile("../../deploy/policy.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"rules":[{"name":"a","match":{"user":["*"]},"retention":"1w2d"}]}`))
	f.Add([]byte("rules: [{name: a, mode: lax}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("- - - x: {"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := policy.Parse(raw)
		if err == nil {
			d := p.Decide(policy.Subject{User: "ann", Metadata: map[string]string{"groups": "a,b"}})
			if !d.Record && d.Reason == "" || d.Mode == policy.ModeUnset || d.Enforce != "" && d.Mode != policy.ModeStrict {
				t.Errorf("decided %+v", d)
			}
			return
		}
		problems, ok := written.AsErrors(err)
		if !ok || len(problems) == 0 {
			t.Fatalf("error %v", err)
		}
		for _, one := range problems {
			if s := one.String(); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || s == "" || len(s) > 2000 || one.Line < 0 {
				t.Errorf("problem %+v", one)
			}
		}
	})
}
