package access

import (
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
)

// A call's token is the whole of what follows the scheme of its one header, or there is none.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer rfa-x", "")
	f.Add("bearer  x y", "")
	f.Add("Basic x", "Bearer y")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		values := []string{first}
		if second != "" {
			values = append(values, second)
		}
		got := bearer(metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": values}))
		if got != "" && (len(values) > 1 || !strings.EqualFold(first, "bearer "+got)) && !strings.HasSuffix(first, " "+got) {
			t.Errorf("%q shows %q", values, got)
		}
		if len(values) > 1 && got != "" {
			t.Errorf("%q shows %q of two", values, got)
		}
	})
}
