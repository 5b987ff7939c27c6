package decode

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	protobuf "google.golang.org/protobuf/proto"
)

// request is a message to decode, for which the codec notes why it cannot: an error that it returned would be sent as INTERNAL.
type request struct {
	into    protobuf.Message
	problem error
}

// Services registers services whose undecodable unary requests are bad input, and not gRPC's internal error. Their server must have Codec;
// what is done to streams is Stream's.
type Services struct{ Server grpc.ServiceRegistrar }

// RegisterService registers one; see grpc.ServiceRegistrar.
func (s Services) RegisterService(desc *grpc.ServiceDesc, service any) {
	own := *desc
	own.Methods = make([]grpc.MethodDesc, 0, len(desc.Methods))
	for _, m := range desc.Methods {
		next := m.Handler
		m.Handler = func(service any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
			return next(service, ctx, func(v any) error { return receive(decode, v) }, around)
		}
		own.Methods = append(own.Methods, m)
	}
	s.Server.RegisterService(&own, service)
}

// Stream is the interceptor of streams; it must be the outermost, or those before it see something else than messages.
func Stream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(service, requests{stream})
}

// requests is a stream of them.
type requests struct{ grpc.ServerStream }

func (r requests) RecvMsg(m any) error { return receive(r.ServerStream.RecvMsg, m) }

func receive(decode func(any) error, v any) error {
	m, ok := v.(protobuf.Message)
	if !ok {
		return decode(v)
	}
	r := &request{into: m}
	if err := decode(r); err != nil {
		return err
	}
	if r.problem != nil {
		return status.Error(codes.InvalidArgument, r.problem.Error())
	}
	return nil
}
