package front

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// What net/http says ends with a line feed, and may quote a client: it is one record of one line all the same.
func TestComplaintsAreOneLine(t *testing.T) {
	var log strings.Builder
	c := complaints{hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug})}
	for _, said := range []string{"http2: connection reset by peer\n", "a\r\n2026-01-01T00:00:00Z [INFO]  forged: x=1\n"} {
		log.Reset()
		if n, err := c.Write([]byte(said)); n != len(said) || err != nil {
			t.Fatal(n, err)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "http server said") {
			t.Errorf("%q was logged as %q", said, got)
		}
	}
}
