package desktop

import (
	"context"
	"testing"
	"time"
)

// startTimeout bounds the start of a server; a free machine takes 0.1 s.
const startTimeout = 30 * time.Second

// Start launches a server for one test and stops it when the test ends.
func Start(tb testing.TB, width, height int) *Server {
	tb.Helper()
	return StartConfig(tb, Config{Width: width, Height: height})
}

// StartConfig is Start for a server that needs more than a size.
func StartConfig(tb testing.TB, cfg Config) *Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := Launch(ctx, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
