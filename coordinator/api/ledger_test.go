package api

import (
	"bytes"
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
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// orders are requests for what people can change, all of it of things that are not there. Methods that only read begin with one of reads.
var (
	orders = map[string]proto.Message{
		recfleetv1.SessionService_StopSession_FullMethodName:    &recfleetv1.StopSessionRequest{SessionId: "a"},
		recfleetv1.SessionService_HoldSession_FullMethodName:    &recfleetv1.HoldSessionRequest{SessionId: "a"},
		recfleetv1.SessionService_ReleaseSession_FullMethodName: &recfleetv1.ReleaseSessionRequest{SessionId: "a"},
		recfleetv1.SessionService_DeleteSession_FullMethodName:  &recfleetv1.DeleteSessionRequest{SessionId: "a"},
		recfleetv1.JobService_RetryJob_FullMethodName:           &recfleetv1.RetryJobRequest{JobId: "a.1"},
		recfleetv1.FleetService_DrainEncoder_FullMethodName:     &recfleetv1.DrainEncoderRequest{EncoderId: strings.Repeat("e", 16)},

		recfleetv1.EnrollmentService_RevokeEnrollment_FullMethodName:    &recfleetv1.RevokeEnrollmentRequest{EnrollmentId: "a"},
		recfleetv1.EnrollmentService_RevokeEnrolledAgent_FullMethodName: &recfleetv1.RevokeEnrolledAgentRequest{AgentId: "a"},

		recfleetv1.AccessService_RevokeToken_FullMethodName:    &recfleetv1.RevokeTokenRequest{TokenId: strings.Repeat("e", 26)},
		recfleetv1.ApprovalService_ApproveOrder_FullMethodName: &recfleetv1.ApproveOrderRequest{ApprovalId: strings.Repeat("e", 26)},
		recfleetv1.ApprovalService_RefuseOrder_FullMethodName:  &recfleetv1.RefuseOrderRequest{ApprovalId: strings.Repeat("e", 26)},
	}
	// creations make something anew, which is then there.
	creations = map[string]proto.Message{
		recfleetv1.EnrollmentService_CreateEnrollment_FullMethodName: &recfleetv1.CreateEnrollmentRequest{
			Stacks: []string{"*"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
		},
		recfleetv1.AccessService_CreateToken_FullMethodName: &recfleetv1.CreateTokenRequest{Name: "nightly"},
	}
	// joining is what agents call that nobody knows yet; the audit has those that were admitted.
	joining = map[string]bool{
		recfleetv1.EnrollmentService_BeginEnroll_FullMethodName:      true,
		recfleetv1.EnrollmentService_Enroll_FullMethodName:           true,
		recfleetv1.EnrollmentService_RenewCertificate_FullMethodName: true,
	}
	actions = map[string]string{
		recfleetv1.EnrollmentService_CreateEnrollment_FullMethodName: "enrollment.create", recfleetv1.AccessService_CreateToken_FullMethodName: "token.create",
	}
	reads = []string{"List", "Get", "Watch", "Test", "Download", "Verify", "Who"}
)

// Whoever adds a call that changes something finds here that it must be audited.
func TestEveryOrderIsAuditedFirst(t *testing.T) {
	f, broken := newFixture(t), newFixture(t)
	broken.breakAudit(t)
	written := 0
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
			created, creates := creations[name]
			if creates {
				request, ok = created, true
			}
			if joining[name] {
				continue
			}
			if !ok {
				t.Errorf("%s is not known to be audited", name)
				continue
			}
			err := broken.conn.Invoke(admin(t), name, request, newAnswer(t, service, m.Name))
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "audit") {
				t.Errorf("%s without an audit log: %v", name, err)
			}
			err = f.conn.Invoke(admin(t), name, request, newAnswer(t, service, m.Name))
			if creates {
				written++
				records, _, listErr := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 1, "")
				if err != nil || listErr != nil || len(records) != 1 || records[0].Result != "ok" || records[0].Who != "admin" || records[0].Action != actions[name] {
					t.Errorf("%s: %v, written down as %+v, %v", name, err, records, listErr)
				}
				continue
			}
			if status.Code(err) != codes.NotFound {
				t.Errorf("%s of nothing: %v", name, err)
			}
			written++
			records, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 1, "")
			if err != nil || len(records) != 1 || records[0].Number != int64(written) || records[0].Result != "not_found" || records[0].Action == "" ||
				records[0].Who != "admin" || records[0].From == "" || time.Since(records[0].Time) > time.Minute {
				t.Errorf("%s was written down as %+v, %v; there are to be %d records", name, records, err, written)
			}
		}
	}
	if n, _, err := broken.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 2, ""); err != nil || len(n) > 0 {
		t.Error(n, err)
	}
}

// Whoever reads a recording or its manifest is written down before the first byte, and gets none where that fails.
func TestReadsOfEvidenceAreAuditedFirst(t *testing.T) {
	f, broken := newFixture(t), newFixture(t)
	f.finished(t, "a")
	broken.finished(t, "a")
	broken.breakAudit(t)
	fetch := func(f *fixture, r *recfleetv1.DownloadRecordingRequest) (bytes int, err error) {
		data, err := f.fetch(t, r)
		return len(data), err
	}
	one := &recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, Reason: "case 7"}
	all := &recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, Reason: "case 7", EntireSession: true}
	list := &recfleetv1.GetManifestRequest{SessionId: "a", Reason: "case 7"}
	for _, r := range []*recfleetv1.DownloadRecordingRequest{one, all} {
		if n, err := fetch(broken, r); n > 0 || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "audit") {
			t.Errorf("%d bytes without a record, %v", n, err)
		}
	}
	if m, err := recfleetv1.NewRecordingServiceClient(broken.conn).GetManifest(admin(t), list); m != nil || status.Code(err) != codes.Unavailable {
		t.Errorf("a manifest without a record: %v, %v", m, err)
	}
	for i, r := range []*recfleetv1.DownloadRecordingRequest{one, all, all, one} {
		if n, err := fetch(f, r); err != nil || n != 10 {
			t.Errorf("download %d: %d bytes, %v", i, n, err)
		}
	}
	sprite := &recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, File: recfleetv1.RecordingFile_RECORDING_FILE_SPRITE}
	if _, err := fetch(f, sprite); status.Code(err) != codes.NotFound { // nothing was served, and nothing is written down
		t.Errorf("thumbnails that there are not: %v", err)
	}
	if m, err := recfleetv1.NewRecordingServiceClient(f.conn).GetManifest(admin(t), list); err != nil || string(m.GetManifest()) != "{}" {
		t.Errorf("%v, %v", m, err)
	}
	found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 10, "")
	if err != nil || len(found) != 4 {
		t.Fatalf("%+v, %v", found, err)
	}
	span := evidence.Span{Start: 1000, End: 3000}
	for i, want := range []catalog.AuditRecord{
		{Action: "manifest.read", Object: "a"}, {Action: "recording.download", Object: "a.1", Span: span},
		{Action: "session.download", Object: "a", Span: span}, {Action: "recording.download", Object: "a.1", Span: span},
	} {
		r := found[i]
		if r.Action != want.Action || r.Object != want.Object || r.Span != want.Span || r.Reason != "case 7" || r.Who != "admin" || r.Auth != "local" || r.Result != "ok" {
			t.Errorf("%+v", r)
		}
	}
	if _, err := recfleetv1.NewRecordingServiceClient(f.conn).GetManifest(admin(t), &recfleetv1.GetManifestRequest{SessionId: "a", Reason: strings.Repeat("x", 9999)}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	answer, err := recfleetv1.NewAuditServiceClient(f.conn).VerifyAudit(admin(t), &recfleetv1.VerifyAuditRequest{})
	if err != nil || answer.GetRecords() != 4 || !bytes.Equal(answer.GetHash(), found[0].Hash[:]) {
		t.Errorf("%v, %v", answer, err)
	}
}

// finished makes a session that is complete, with one archived segment of ten bytes, from second 1 to 3, and a manifest.
func (f *fixture) finished(t *testing.T, id string) {
	t.Helper()
	f.finishedWith(t, id, "0123456789")
}

// finishedWith is finished with another mp4.
func (f *fixture) finishedWith(t *testing.T, id, video string) {
	t.Helper()
	start := f.recorded(t, id, "stack-"+id, video)
	err := errors.Join(f.catalog.LoseSession(t.Context(), id, start, "silent"),
		f.catalog.CloseLost(t.Context(), id, start.Add(3*time.Second), nil), f.catalog.FinishSession(t.Context(), id, catalog.SessionInterrupted, ""))
	if err != nil {
		t.Fatal(err)
	}
}

// recorded makes a session of a stack that goes on, with one archived segment, and returns its start.
func (f *fixture) recorded(t *testing.T, id, stack, video string) (start time.Time) {
	t.Helper()
	ctx, start := t.Context(), time.Now().Add(-time.Minute)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	_, _, err := f.catalog.CreateSession(ctx, catalog.Session{
		ID: id, RequestID: id, Stack: stack, ArchivePrefix: id + "/", FrameRate: 5, Start: start, Created: start, LastSegment: catalog.Unknown,
	})
	seal := catalog.Seal{Segment: 1, Epoch: 1, Start: at(1), End: at(3), Width: 4, Height: 4, Frames: 10, Chunks: 1, Bytes: 9}
	err = errors.Join(err, f.catalog.MarkRecording(ctx, id), f.catalog.AddSegment(ctx, catalog.Segment{Session: id, SealedBy: catalog.PartyCoordinator, Seal: seal}, start))
	jobs, leaseErr := f.catalog.LeaseJobs(ctx, "e", 1, start, start.Add(time.Hour))
	if err = errors.Join(err, leaseErr); err != nil || len(jobs) != 1 {
		t.Fatal(jobs, err)
	}
	put := func(name, content string) catalog.Object {
		t.Helper()
		if _, err := f.archive.Put(ctx, id+"/"+name, strings.NewReader(content), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		return catalog.Object{Key: id + "/" + name, Bytes: int64(len(content)), SHA256: chunk.Sum([]byte(content))}
	}
	put("manifest.json", "{}")
	film := put("video-000001.mp4", video)
	recording := catalog.Recording{ObjectKey: film.Key, Bytes: film.Bytes, SHA256: film.SHA256, Width: 4, Height: 4, Frames: 10, EncoderID: "e"}
	if f.thumbnails {
		recording.Thumbnails = catalog.Thumbnails{Sprite: put("thumbnails-000001.jpg", "a picture"), Index: put("thumbnails-000001.vtt", "WEBVTT\n")}
	}
	if err := f.catalog.CompleteJob(ctx, catalog.JobID(id, 1), jobs[0].Job.Generation, recording); err != nil {
		t.Fatal(err)
	}
	return start
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
