package api

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// absentError says which field of a request names something that is not there. Its text goes to the caller.
type absentError struct {
	text  string
	cause error
}

func (e *absentError) Error() string { return e.text }

func (e *absentError) Unwrap() error { return e.cause }

// idFields are what requests name things by, the thing that a request is about first.
func idFields() []protoreflect.Name {
	return []protoreflect.Name{"session_id", "job_id", "approval_id", "enrollment_id", "agent_id", "token_id", "encoder_id"}
}

// showable is an id that may be repeated to whoever has sent it.
var showable = regexp.MustCompile(`^[a-z0-9.]{1,80}$`)

// named makes of "not found" an error that says by which field of the request; every other error stays as it is.
func named(req any, err error) error {
	message, ok := req.(proto.Message)
	if !ok || !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	m := message.ProtoReflect()
	for _, field := range idFields() {
		about := m.Descriptor().Fields().ByName(field)
		if about == nil || about.Kind() != protoreflect.StringKind || about.IsList() {
			continue
		}
		id := m.Get(about).String()
		if !showable.MatchString(id) {
			continue
		}
		text := fmt.Sprintf("%s: %s %s not found", field, strings.TrimSuffix(string(field), "_id"), id)
		if one, ok := req.(interface{ GetSegment() int32 }); ok && one.GetSegment() > 0 {
			text = fmt.Sprintf("%s: segment %d of session %s not found", field, one.GetSegment(), id)
		}
		return &absentError{text, err}
	}
	return err
}

// heard is a stream that knows what was asked last.
type heard struct {
	grpc.ServerStream
	request any
}

// RecvMsg keeps what came.
func (h *heard) RecvMsg(m any) error {
	err := h.ServerStream.RecvMsg(m)
	if err == nil {
		h.request = m
	}
	return err
}
