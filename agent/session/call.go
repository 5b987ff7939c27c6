package session

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusal is an ErrRefused in the coordinator's words, without gRPC's around them.
type refusal struct{ answer error }

func (r *refusal) Error() string {
	return ErrRefused.Error() + ": " + status.Convert(r.answer).Message()
}

func (r *refusal) Unwrap() []error { return []error{ErrRefused, r.answer} }

// call makes one call with a limited time. Where the coordinator will never say anything else, the error is ErrRefused too.
func call[Q, A any](ctx context.Context, request *Q, method func(context.Context, *Q, ...grpc.CallOption) (*A, error)) (*A, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := method(ctx, request)
	switch status.Code(err) {
	case codes.NotFound, codes.FailedPrecondition, codes.InvalidArgument:
		return nil, &refusal{err}
	}
	return answer, err
}
