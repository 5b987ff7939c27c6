package api

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// fetch downloads an object as far as it comes.
func (f *fixture) fetch(t *testing.T, r *recfleetv1.DownloadRecordingRequest) (data []byte, err error) {
	t.Helper()
	stream, err := recfleetv1.NewRecordingServiceClient(f.conn).DownloadRecording(admin(t), r)
	for err == nil {
		var m *recfleetv1.DownloadRecordingResponse
		if m, err = stream.Recv(); err == nil {
			data = append(data, m.GetData()...)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data, err
}

func TestDocumentsOfASession(t *testing.T) {
	f, broken := newFixture(t), newFixture(t)
	const events = "{\"event\":\"one\"}\n{\"event\":\"two\"}\n"
	for _, on := range []*fixture{f, broken} {
		on.finished(t, "a")
		if _, err := on.archive.Put(t.Context(), "a/events.ndjson", strings.NewReader(events), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	broken.breakAudit(t)
	request := func(file recfleetv1.RecordingFile, offset int64) *recfleetv1.DownloadRecordingRequest {
		return &recfleetv1.DownloadRecordingRequest{SessionId: "a", File: file, Offset: offset, Reason: "case 7"}
	}
	wanted := request(recfleetv1.RecordingFile_RECORDING_FILE_EVENTS, 0)
	if got, err := broken.fetch(t, wanted); len(got) > 0 || status.Code(err) != codes.Unavailable {
		t.Errorf("%q without a record, %v", got, err)
	}
	if got, err := f.fetch(t, wanted); err != nil || string(got) != events {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := f.fetch(t, request(recfleetv1.RecordingFile_RECORDING_FILE_EVENTS, 5)); err != nil || string(got) != events[5:] {
		t.Errorf("from byte 5: %q, %v", got, err)
	}
	if got, err := f.fetch(t, request(recfleetv1.RecordingFile_RECORDING_FILE_EVENTS, 5000)); status.Code(err) != codes.OutOfRange {
		t.Errorf("from past the end: %q, %v", got, err)
	}
	if got, err := f.fetch(t, request(recfleetv1.RecordingFile_RECORDING_FILE_METADATA, 0)); status.Code(err) != codes.NotFound {
		t.Errorf("what is not there: %q, %v", got, err)
	}
	entire := request(recfleetv1.RecordingFile_RECORDING_FILE_EVENTS, 0)
	entire.EntireSession = true
	for range 2 {
		if got, err := f.fetch(t, entire); err != nil || string(got) != events {
			t.Errorf("%q, %v", got, err)
		}
	}
	found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 20, "")
	var results []string
	for _, r := range found {
		results = append(results, r.Result)
		if r.Action != "session.download" || r.Object != "a" || r.Reason != "case 7" || r.Who != "admin" {
			t.Errorf("%+v", r)
		}
	}
	// Newest first: one for the two calls of a viewing, and two for each that was refused.
	if err != nil || strings.Join(results, " ") != "ok not_found ok out_of_range ok ok ok" {
		t.Errorf("%v, %v", results, err)
	}
}

func TestASessionThatGoesOnHasNoDocuments(t *testing.T) {
	f := newFixture(t)
	f.recorded(t, "a", "office", "0123456789")
	if _, err := f.archive.Put(t.Context(), "a/events.ndjson", strings.NewReader("{}\n"), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	wanted := &recfleetv1.DownloadRecordingRequest{SessionId: "a", File: recfleetv1.RecordingFile_RECORDING_FILE_EVENTS}
	if got, err := f.fetch(t, wanted); len(got) > 0 || status.Code(err) != codes.NotFound {
		t.Errorf("%q, %v", got, err)
	}
	f.finished(t, "b")
	if err := f.catalog.OrderDeletion(t.Context(), "b", catalog.Deletion{Ordered: time.Now(), Reason: "case 7"}); err != nil {
		t.Fatal(err)
	}
	wanted.SessionId = "b"
	if got, err := f.fetch(t, wanted); len(got) > 0 || status.Code(err) != codes.NotFound {
		t.Errorf("of one whose deletion is ordered: %q, %v", got, err)
	}
}
