package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/enroll"
	"github.com/recfleet/recfleet/coordinator/jobs"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/object"
)

// errPrecondition says that what the catalog has does not allow what was asked for.
var errPrecondition = errors.New("not possible now")

// precondition marks what conflicts with what the catalog has: the request is right, its time is not.
func precondition(err error) error {
	if errors.Is(err, catalog.ErrConflict) {
		return fmt.Errorf("%w: %w", errPrecondition, err)
	}
	return err
}

// toStatus is the one place where errors become gRPC codes. told is false where the caller is told nothing of what is
// wrong; then the error is for the log.
func toStatus(err error) (_ error, told bool) {
	var field *fieldError
	var excluded *sessions.NotRecorded
	var filter *catalog.FilterError
	var pending *pendingError
	var absent *absentError
	code := codes.Unavailable
	switch {
	case err == nil:
		return nil, true
	case errors.Is(err, sessions.ErrBus):
		return status.Error(codes.Unavailable, "the bus is not available; try again"), false
	case errors.Is(err, object.ErrUnavailable):
		return status.Error(codes.Unavailable, "the archive is not available; try again"), false
	case errors.As(err, &absent):
		return status.Error(codes.NotFound, absent.Error()), true
	case errors.As(err, &pending):
		return approvalNeeded(pending), true
	case errors.As(err, &excluded):
		return notRecorded(excluded), true
	case errors.As(err, &field), errors.As(err, &filter):
		code = codes.InvalidArgument
	case errors.Is(err, catalog.ErrPageToken):
		return status.Error(codes.InvalidArgument, "page_token: was not made for this query"), true
	case errors.Is(err, bus.ErrKey):
		return status.Error(codes.InvalidArgument, "bus_public_key: is not the public key of a bus user"), true
	case errors.Is(err, enroll.ErrNonce):
		return status.Error(codes.FailedPrecondition, enroll.ErrNonce.Error()), true
	case errors.Is(err, enroll.ErrRefused):
		return status.Error(codes.PermissionDenied, enroll.ErrRefused.Error()), true
	case errors.Is(err, enroll.ErrScope):
		return status.Error(codes.PermissionDenied, enroll.ErrScope.Error()), true
	case errors.Is(err, errUnaudited):
		return status.Error(codes.Unavailable, errUnaudited.Error()+", so nothing was done; try again"), false
	case errors.Is(err, errNotGiven):
		return status.Error(codes.PermissionDenied, errNotGiven.Error()), true
	case errors.Is(err, catalog.ErrAudit):
		code = codes.DataLoss
	case errors.Is(err, errTooMany):
		return status.Error(codes.ResourceExhausted, errTooMany.Error()), true
	case errors.Is(err, errPrecondition), errors.Is(err, catalog.ErrHeld), errors.Is(err, catalog.ErrTransition):
		code = codes.FailedPrecondition
	case errors.Is(err, catalog.ErrConflict), errors.Is(err, catalog.ErrLimit), errors.Is(err, jobs.ErrMismatch):
		code = codes.InvalidArgument
	case errors.Is(err, catalog.ErrNotFound), errors.Is(err, errNotArchived), errors.Is(err, errNoThumbnails), errors.Is(err, errNoManifest), errors.Is(err, errMissing):
		code = codes.NotFound
	case errors.Is(err, errAltered):
		code = codes.DataLoss
	case errors.Is(err, catalog.ErrEventHole), errors.Is(err, object.ErrRange):
		code = codes.OutOfRange
	case errors.Is(err, catalog.ErrEnded), errors.Is(err, catalog.ErrLeaseLost), errors.Is(err, sessions.ErrNoSpace):
		code = codes.FailedPrecondition
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the call was canceled"), true
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "the call took too long"), true
	}
	if code == codes.Unavailable {
		if s, ok := status.FromError(err); ok {
			return s.Err(), true
		}
		// What is left is the server's side: its disk, its database. The caller may try again; the reason is not its business.
		return status.Error(code, "the server could not do it now; try again"), false
	}
	return status.Error(code, oneLine(plain(err.Error()), maxReason)), true
}

// plain leaves out what the code says already.
func plain(message string) string {
	message = strings.TrimPrefix(message, errPrecondition.Error()+": ")
	for _, kind := range []error{catalog.ErrConflict, catalog.ErrTransition} {
		message = strings.TrimSuffix(message, ": "+kind.Error())
	}
	return message
}
