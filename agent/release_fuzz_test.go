package agent

import (
	"strings"
	"testing"
)

// The name of the operating system is one line of its file.
func FuzzPrettyName(f *testing.F) {
	f.Add("NAME=x\nPRETTY_NAME=\"Amazon Linux 2023\"\n")
	f.Add("PRETTY_NAME=")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if name := prettyName(strings.NewReader(text)); strings.Contains(name, "\n") || name != "linux" && !strings.Contains(text, name) {
			t.Errorf("%q is %q", text, name)
		}
	})
}
