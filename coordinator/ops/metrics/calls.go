package metrics

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/internal/metrics"
)

// Calls counts gRPC calls by method and code, under the names that are usual for it. Only methods that the server has come
// here, so that there are few. It is safe for concurrent use.
type Calls struct {
	handled *metrics.Value
	took    *metrics.Histogram
}

func newCalls(r *metrics.Registry) *Calls {
	return &Calls{
		handled: r.Counter("grpc_server_handled_total", "Calls that ended, however.", "grpc_service", "grpc_method", "grpc_code"),
		took: r.Histogram("grpc_server_handling_seconds", "How long calls took; an encoder's Sync waits for work.", metrics.Latencies(),
			"grpc_service", "grpc_method"),
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
	c.handled.Add(1, service, method, status.Code(err).String())
	c.took.Took(time.Since(began), service, method)
}
