package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// failure turns an error of the S3 client into one of this package's, in one line. What is not known to be the
// content's fault is the bucket's: keys and contents were looked at before they were sent.
func failure(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return unavailable(ctx.Err())
	}
	operation := "S3"
	var op *smithy.OperationError
	if errors.As(err, &op) {
		operation = op.Operation()
	}
	status := statusOf(err)
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%w: %s", ErrUnavailable, oneLine(err))
	}
	kind := ErrUnavailable
	switch api.ErrorCode() {
	case "NoSuchKey", "NotFound", "NoSuchVersion":
		kind = ErrNotFound
	case "InvalidRange":
		kind = ErrRange
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		kind = ErrDigest
	}
	if errors.Is(kind, ErrUnavailable) && status == http.StatusRequestedRangeNotSatisfiable {
		kind = ErrRange
	}
	return fmt.Errorf("%w: %s: %d %s", kind, operation, status, oneLine(api))
}

// refused reports whether a conditional put met an object, or another write of it.
func refused(err error) bool {
	return taken(err) || statusOf(err) == http.StatusConflict
}

// taken reports whether a conditional put met an object that is there.
func taken(err error) bool { return statusOf(err) == http.StatusPreconditionFailed }

// forbidden reports whether the service says that there is no right.
func forbidden(err error) bool { return statusOf(err) == http.StatusForbidden }

func statusOf(err error) int {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) {
		return 0
	}
	return response.HTTPStatusCode()
}

// oneLine is an error's text without line breaks, cut to a bearable length.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	const most = 400
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
