package metrics

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Calls counts gRPC calls by method and code, under the names that are usual for it. Only methods that the server has come
// here, so that there are few. It is safe for concurrent use.
type Calls struct {
	handled *prometheus.CounterVec
	took    *prometheus.HistogramVec
}

func newCalls() *Calls {
	return &Calls{
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grpc_server_handled_total", Help: "Calls that ended, however.",
		}, []string{"grpc_service", "grpc_method", "grpc_code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "How long calls took; an encoder's Sync waits for work.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"grpc_service", "grpc_method"}),
	}
}

// Unary counts a call. It must stand outside of what sets the call's code.
func (c *Calls) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	answer, err := next(ctx, req)
	c.ended(info.FullMethod, began, err)
	return answer, err
}

// Stream counts a stream at its end.
func (c *Calls) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	began := time.Now()
	err := next(srv, stream)
	c.ended(info.FullMethod, began, err)
	return err
}

func (c *Calls) ended(full string, began time.Time, err error) {
	service, method, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	c.handled.WithLabelValues(service, method, status.Code(err).String()).Inc()
	c.took.WithLabelValues(service, method).Observe(time.Since(began).Seconds())
}
