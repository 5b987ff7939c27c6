package cli

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestPolicyTest(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "policy", "test", "--user", "ana", "--fleet", "blue", "--stack", "office", "--instance", "i-1", "--group", "traders", "--group", "a,b",
		"--meta", "env=prod=1", "--meta", "x=", "-o", "wide")
	want := `record      yes
rule        traders
groups      desk, traders
mode        grace 20.0s
frame rate  5
segment     5m0s
encode      medium, crf 23, at most 1920x1080
kept        90 days
notice      You are recorded.
activity    processes
policy      7 abcd

rules
RULE     MATCHES  NOT FOR ITS
guests   no       user
traders  yes      -
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
	asked := &recfleetv1.TestPolicyRequest{
		User: "ana", Fleet: "blue", Stack: "office", Instance: "i-1", Groups: []string{"traders", "a,b"}, Metadata: map[string]string{"env": "prod=1", "x": ""},
	}
	if got := f.noted(); len(got) != 1 || !proto.Equal(got[0].(proto.Message), asked) {
		t.Errorf("asked for %v", got)
	}
	if exit, stdout, _ = f.run(t, "policy", "test"); exit != exitOK || stdout != "record  no\nreason  nobody\\x1b\nrule    (there is no policy)\n" {
		t.Errorf("exit %d, stdout\n%s", exit, stdout)
	}
	for _, c := range [][]string{
		{"--meta", "x"}, {"--meta", "=x"}, {"--meta", "a\x1b=1"}, {"--meta", "\xff=1"}, {"--meta", strings.Repeat("k", 129) + "="}, {"--meta", "k=" + strings.Repeat("v", 4097)}, {"--group", "\n"},
		{"--group", strings.Repeat("g", 65_536)},
	} {
		exit, _, stderr := f.run(t, append([]string{"policy", "test"}, c...)...)
		if exit != exitUsage || !strings.HasPrefix(stderr, "recctl: "+c[0]+": ") || strings.Count(stderr, "\n") != 1 || len(stderr) > 300 {
			t.Errorf("%.40q: exit %d, stderr %q", c, exit, stderr)
		}
	}
	many := []string{"policy", "test"}
	for range 65 {
		many = append(many, "--group", "g")
	}
	if exit, _, stderr := f.run(t, many...); exit != exitUsage || !strings.Contains(stderr, "--group") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}
