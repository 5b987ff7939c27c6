package coordinator_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/recfleet/recfleet/coordinator"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// What was archived and is gone, or is something else, is named as that: trying again does not help.
func TestLostRecordingsAreNamed(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a := newAgent(w)
	a.segment(1)
	a.end(2 * time.Second)
	newEncoder(w).work(1)
	w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	path := filepath.Join(w.dir, "archive", a.prefix+"video-000001.mp4")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	load := func(offset int64) error {
		stream, err := recfleetv1.NewRecordingServiceClient(w.admin).DownloadRecording(t.Context(), &recfleetv1.DownloadRecordingRequest{
			SessionId: a.session, Segment: 1, Offset: offset,
		})
		for err == nil {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	write := func(content []byte) {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := load(0); err != nil {
		t.Fatal(err)
	}
	write(content[:100])
	wantCode(t, load(0), codes.DataLoss, "altered")
	wantCode(t, load(100), codes.DataLoss, "altered")
	wantCode(t, load(101), codes.DataLoss, "altered")
	content[9] ^= 1
	write(content)
	wantCode(t, load(0), codes.DataLoss, "altered")
	// Also where the archive does not know what it should be.
	if err := os.RemoveAll(filepath.Join(w.dir, "archive", ".recfleet", "sums")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, load(0), codes.DataLoss, "altered")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantCode(t, load(0), codes.NotFound, "missing")
	wantCode(t, load(5), codes.NotFound, "missing")
}
