package main

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestAHostileAgentDoesNoHarm(t *testing.T) {
	var out strings.Builder
	harm, err := run(t.Context(), &out, hclog.NewNullLogger())
	t.Log("\n" + out.String())
	if err != nil || harm > 0 {
		t.Errorf("%d tricks did harm, %v", harm, err)
	}
	if n := strings.Count(out.String(), "\n"); n < 25 {
		t.Errorf("only %d lines", n)
	}
}
