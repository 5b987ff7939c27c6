package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes; a promise to scripts.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnavailable = 5
)

// usageError is the caller's to mend.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// notFoundError is about something that the coordinator need not be asked for.
type notFoundError struct{ error }

func (n notFoundError) Unwrap() error { return n.error }

// unreachable is about an archive that is asked directly.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

// exitCode says what kind of error it is.
func exitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	if errors.As(err, new(notFoundError)) {
		return exitNotFound
	}
	if errors.As(err, new(deniedError)) {
		return exitDenied
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(unreachable)) {
		return exitUnavailable
	}
	switch code(err) {
	case codes.InvalidArgument:
		return exitUsage
	case codes.NotFound:
		return exitNotFound
	case codes.Unauthenticated, codes.PermissionDenied:
		return exitDenied
	case codes.Unavailable, codes.DeadlineExceeded:
		return exitUnavailable
	}
	return exitFailed
}

// callError is an answer of the coordinator that is an error.
type callError struct {
	doing  string
	status *status.Status
}

// Error leaves out gRPC's own words.
func (e *callError) Error() string {
	message := e.status.Message()
	if message == "" {
		message = e.status.Code().String()
	}
	switch e.status.Code() {
	case codes.Unavailable:
		if unreached(message) {
			message = "the coordinator cannot be reached: " + transport.ReplaceAllString(message, "$1")
		}
	case codes.DeadlineExceeded:
		message = "the coordinator did not answer in time"
	}
	if strings.HasPrefix(message, e.doing+": ") { // the coordinator says the same
		return message
	}
	return e.doing + ": " + message
}

// field matches what a coordinator says of a field of a request: its name, and what is wrong with it.
var field = regexp.MustCompile(`^([a-z][a-z_]*)(?:\[[^\]]*\])?(?: key)?: (.+)$`)

// inWords makes of what a coordinator says of a request's field what it says of the flag or the argument that it came from.
func inWords(c *cobra.Command, err error) error {
	call, ok := err.(*callError) //nolint:errorlint // one that others wrap is not about the command line alone
	if !ok || c == nil || call.status.Code() != codes.InvalidArgument && call.status.Code() != codes.NotFound {
		return err
	}
	said := field.FindStringSubmatch(call.status.Message())
	if said == nil {
		return err
	}
	name := strings.ReplaceAll(said[1], "_", "-")
	noun := strings.TrimSuffix(name, "-id")
	where := ""
	if _, arguments, _ := strings.Cut(c.Use, " "); slices.Contains(strings.Fields(arguments), strings.ToUpper(noun)) {
		where = strings.ToUpper(noun)
	}
	for _, flag := range []string{name, noun, strings.TrimSuffix(name, "s"), map[string]string{"metadata": "meta"}[name]} {
		if where == "" && c.Flags().Lookup(flag) != nil {
			where = "--" + flag
		}
	}
	if where == "" {
		return err
	}
	return &fieldError{where + ": " + said[2], err}
}

// fieldError is an error of a call in the words of the command line.
type fieldError struct {
	text string
	error
}

func (f *fieldError) Error() string { return f.text }

func (f *fieldError) Unwrap() error { return f.error }

// transport matches what gRPC puts around the reason why there is no connection.
var transport = regexp.MustCompile(`^connection error: desc = "(?:transport: )?(?:Error while dialing: |authentication handshake failed: )?(.*)"$`)

// unreached reports whether a message is gRPC's own about a connection, and not a coordinator's.
func unreached(message string) bool {
	return strings.Contains(message, "connection error") || strings.Contains(message, "error reading from server") || strings.Contains(message, "closing transport")
}

// failed says what was being done when a call failed.
func failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return &callError{doing: fmt.Sprintf(format, args...), status: s}
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func code(err error) codes.Code {
	var call *callError
	if errors.As(err, &call) {
		return call.status.Code()
	}
	return codes.Unknown
}

// errStreamEnded means that the coordinator ended a stream that has no end.
var errStreamEnded = status.Error(codes.Unavailable, "the coordinator ended the watch")
