package metrics

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// drain is longer than a collector may take.
const drain = 10 * time.Second

// Serve answers on a listener of its own, without encryption and to everybody who reaches it, until ctx is done; then it ends
// what is under way and returns nil. It closes the listener. handler gets everything but /metrics.
func Serve(ctx context.Context, listener net.Listener, gatherer prometheus.Gatherer, handler http.Handler, logger hclog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: left{logger}}))
	mux.Handle("/", handler)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(complaints{logger}, "", 0),
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve metrics: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-serving.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if server.Shutdown(ending) != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// complaints logs what net/http says of single connections.
type complaints struct{ logger hclog.Logger }

func (c complaints) Write(b []byte) (int, error) {
	c.logger.Debug("http server said", "text", string(b))
	return len(b), nil
}

// left logs what a scrape leaves out.
type left struct{ logger hclog.Logger }

func (l left) Println(v ...any) {
	l.logger.Warn("metrics were left out", "error", strings.Join(strings.Fields(fmt.Sprintln(v...)), " "))
}
