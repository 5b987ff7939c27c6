package api

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/recfleet/recfleet/coordinator/catalog"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// brokenAudit is an audit log that cannot be written.
type brokenAudit struct{}

func (brokenAudit) AppendAudit(context.Context, catalog.AuditRecord) (catalog.AuditRecord, error) {
	return catalog.AuditRecord{}, errors.New("disk is full")
}

// orders are requests for what people can change, all of it of things that are not there. Methods that only read begin with one of reads.
var (
	orders = map[string]proto.Message{
		recfleetv1.SessionService_StopSession_FullMethodName:    &recfleetv1.StopSessionRequest{SessionId: "a"},
		recfleetv1.SessionService_HoldSession_FullMethodName:    &recfleetv1.HoldSessionRequest{SessionId: "a"},
		recfleetv1.SessionService_ReleaseSession_FullMethodName: &recfleetv1.ReleaseSessionRequest{SessionId: "a"},
		recfleetv1.SessionService_DeleteSession_FullMethodName:  &recfleetv1.DeleteSessionRequest{SessionId: "a"},
		recfleetv1.JobService_RetryJob_FullMethodName:           &recfleetv1.RetryJobRequest{JobId: "a.1"},
		recfleetv1.FleetService_DrainEncoder_FullMethodName:     &recfleetv1.DrainEncoderRequest{EncoderId: strings.Repeat("e", 16)},
	}
	reads = []string{"List", "Get", "Watch", "Test", "Download"}
)

// Whoever adds a call that changes something finds here that it must be audited.
func TestEveryOrderIsAuditedFirst(t *testing.T) {
	f, broken := newFixture(t), newFixtureWith(t, brokenAudit{})
	for service, info := range f.server.GetServiceInfo() {
		if !strings.HasPrefix(service, "recfleet.v1.") || strings.HasSuffix(service, ".AgentService") || strings.HasSuffix(service, ".EncoderService") {
			continue
		}
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			reading := false
			for _, prefix := range reads {
				reading = reading || strings.HasPrefix(m.Name, prefix)
			}
			if reading {
				continue
			}
			request, ok := orders[name]
			if !ok {
				t.Errorf("%s is not known to be audited", name)
				continue
			}
			err := broken.conn.Invoke(admin(t), name, request, newAnswer(t, service, m.Name))
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "audit") {
				t.Errorf("%s without an audit log: %v", name, err)
			}
			if err := f.conn.Invoke(admin(t), name, request, newAnswer(t, service, m.Name)); status.Code(err) != codes.NotFound {
				t.Errorf("%s of nothing: %v", name, err)
			}
			records, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 2, "")
			if err != nil || len(records) != 2 || records[1].Result != "ok" || records[0].Result != "not_found" || records[0].Action != records[1].Action ||
				records[1].Who != "admin" || records[1].From == "" || time.Since(records[1].Time) > time.Minute {
				t.Errorf("%s was written down as %+v, %v", name, records, err)
			}
		}
	}
	if n, _, err := broken.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 2, ""); err != nil || len(n) > 0 {
		t.Error(n, err)
	}
}

func newAnswer(t *testing.T, service, method string) proto.Message {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	out := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method)).Output()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(out.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// Every text field of every request that people send is filled with 64 kB of what nobody wants.
func TestHugeAndOddFieldsAreNamed(t *testing.T) {
	f := newFixture(t)
	odd := strings.Repeat("a\x00\x1b[31m\n", 64<<10/8)
	tried := 0
	for service, info := range f.server.GetServiceInfo() {
		if !strings.HasPrefix(service, "recfleet.v1.") {
			continue
		}
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range info.Methods {
			in := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(m.Name)).Input()
			kind, err := protoregistry.GlobalTypes.FindMessageByName(in.FullName())
			if err != nil {
				t.Fatal(err)
			}
			for i := range in.Fields().Len() {
				field := in.Fields().Get(i)
				if field.Kind() != protoreflect.StringKind || field.IsMap() || field.FullName() == "recfleet.v1.FailJobRequest.detail" {
					continue
				}
				tried++
				request := kind.New()
				if field.IsList() {
					request.Mutable(field).List().Append(protoreflect.ValueOfString(odd))
				} else {
					request.Set(field, protoreflect.ValueOfString(odd))
				}
				err := f.call(t, service, m, request.Interface())
				if status.Code(err) != codes.InvalidArgument || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\x00\x1b\n") {
					t.Errorf("%s.%s with an odd %s: %.300v", service, m.Name, field.Name(), err)
				}
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d fields were tried", tried)
	}
}

// call makes a call of either kind and returns how it ended.
func (f *fixture) call(t *testing.T, service string, m grpc.MethodInfo, request proto.Message) error {
	t.Helper()
	name := "/" + service + "/" + m.Name
	if !m.IsServerStream {
		return f.conn.Invoke(admin(t), name, request, newAnswer(t, service, m.Name))
	}
	stream, err := f.conn.NewStream(admin(t), &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		return err
	}
	return stream.RecvMsg(newAnswer(t, service, m.Name))
}

func TestResultsAreWords(t *testing.T) {
	for err, want := range map[error]string{
		catalog.ErrNotFound: "not_found", catalog.ErrHeld: "failed_precondition", errors.New("disk"): "unavailable", wrong("f", "x"): "invalid_argument",
	} {
		if got := resultOf(err); got != want {
			t.Errorf("%v became %q", reflect.TypeOf(err), got)
		}
	}
}
