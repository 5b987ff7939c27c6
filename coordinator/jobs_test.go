package coordinator_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestQuarantineKeepsTheChunks(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: time.Minute})
	a, e := newAgent(w), newEncoder(w)
	a.segment(2)
	a.end(4 * time.Second)
	for range 3 {
		var l *recfleetv1.Lease
		w.until("lease", func() bool {
			if got := e.sync(1, 5*time.Second).GetGranted(); len(got) == 1 {
				l = got[0]
			}
			return l != nil
		})
		fail := &recfleetv1.FailJobRequest{
			JobId: l.GetJobId(), Generation: l.GetGeneration(), EncoderId: e.id, Cause: recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT, Detail: "two\nlines",
		}
		if _, err := w.jobs().FailJob(t.Context(), fail); err != nil {
			t.Fatal(err)
		}
		_, err := w.jobs().FailJob(t.Context(), fail)
		wantCode(t, err, codes.FailedPrecondition, "lease lost")
	}
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	if g := s.GetGaps(); len(g) != 1 || g[0].GetCause() != "segment_quarantined" || s.GetStateReason() != "1 of 1 segments quarantined" ||
		s.GetSegments()[0].GetState() != recfleetv1.SegmentState_SEGMENT_STATE_QUARANTINED {
		t.Errorf("%v", s)
	}
	if held, err := w.broker.Segments(t.Context(), a.session); err != nil || held[1] != 2 {
		t.Errorf("the chunks were dropped: %v, %v", held, err)
	}
	if !strings.Contains(w.log.String(), "segment quarantined") {
		t.Error("no alarm")
	}
}

func TestEncodersShareWork(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: 3 * time.Second})
	a := newAgent(w)
	first, second := newEncoder(w), newEncoder(w)

	woken := make(chan *recfleetv1.EncoderServiceSyncResponse, 1)
	go func() { woken <- first.sync(1, 20*time.Second) }()
	a.segment(1)
	began := time.Now()
	got := <-woken
	if len(got.GetGranted()) != 1 || time.Since(began) > 5*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), got)
	}
	lease := got.GetGranted()[0]
	if lease.GetAttempt() != 1 || lease.GetGeneration() != 1 || lease.GetObjectKey() != a.prefix+"video-000001.mp4" || lease.GetSettings().GetFrameRate() != 5 {
		t.Errorf("%v", lease)
	}
	// The first encoder falls silent; the second one gets the job once the lease ran out.
	var again *recfleetv1.Lease
	w.until("rescue", func() bool {
		if granted := second.sync(1, 5*time.Second).GetGranted(); len(granted) == 1 {
			again = granted[0]
		}
		return again != nil
	})
	if again.GetGeneration() != 2 || again.GetAttempt() != 1 {
		t.Errorf("%v", again)
	}
	stale := first.archive(lease)
	_, err := w.jobs().CompleteJob(t.Context(), stale)
	wantCode(t, err, codes.FailedPrecondition, "lease lost")
	if got := first.sync(0, 0, &recfleetv1.HeldLease{JobId: lease.GetJobId(), Generation: 1}); !slices.Equal(got.GetLostJobIds(), []string{lease.GetJobId()}) {
		t.Errorf("%v", got)
	}
	good := second.archive(again)
	for name, spoil := range map[string]func(r *recfleetv1.CompleteJobRequest){
		"object_key":  func(r *recfleetv1.CompleteJobRequest) { r.ObjectKey = "elsewhere.mp4" },
		"frame_count": func(r *recfleetv1.CompleteJobRequest) { r.FrameCount-- },
		"width":       func(r *recfleetv1.CompleteJobRequest) { r.Width-- },
		"height":      func(r *recfleetv1.CompleteJobRequest) { r.Height++ },
		"duration": func(r *recfleetv1.CompleteJobRequest) {
			r.Duration = durationpb.New(r.Duration.AsDuration() + 250*time.Millisecond)
		},
		"bytes":  func(r *recfleetv1.CompleteJobRequest) { r.Bytes++ },
		"sha256": func(r *recfleetv1.CompleteJobRequest) { r.Sha256 = bytes.Repeat([]byte{1}, 32) },
	} {
		bad := second.archive(again)
		spoil(bad)
		_, err := w.jobs().CompleteJob(t.Context(), bad)
		wantCode(t, err, codes.InvalidArgument, name+": ")
	}
	if _, err := w.jobs().CompleteJob(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	// The chunks of an archived segment go, though the session goes on.
	w.until("purge", func() bool {
		held, err := w.broker.Segments(t.Context(), a.session)
		return err == nil && len(held) == 0
	})
	if got := a.sync(1); len(got.GetReceipts()) != 1 {
		t.Errorf("the receipt was withdrawn: %v", got)
	}
}

// A segment that kills its encoders is not handed out for ever.
func TestSegmentThatKillsItsEncoders(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: 500 * time.Millisecond})
	a := newAgent(w)
	a.segment(2)
	a.end(4 * time.Second)
	victims := 0
	next := func() { victims += len(newEncoder(w).sync(1, time.Second).GetGranted()) }
	w.until("four victims", func() bool { next(); return victims == 4 })
	w.until("quarantine", func() bool { next(); return strings.Contains(w.log.String(), "segment quarantined") })
	if victims != 5 {
		t.Errorf("%d encoders got it", victims)
	}
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	if g := s.GetGaps(); len(g) != 1 || g[0].GetCause() != "segment_quarantined" || !strings.Contains(g[0].GetDetail(), "encoder_lost") {
		t.Errorf("%v", s)
	}
	if held, err := w.broker.Segments(t.Context(), a.session); err != nil || held[1] != 2 {
		t.Errorf("the chunks were dropped: %v, %v", held, err)
	}
}

// An encoder that archived and died before its report blocks nobody, and what it left is never served.
func TestLeftoversOfADeadEncoder(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: 2 * time.Second})
	a := newAgent(w)
	dead, late, last := newEncoder(w), newEncoder(w), newEncoder(w)
	a.segment(2)
	a.end(4 * time.Second)
	lease := func(e *encoder) *recfleetv1.Lease {
		t.Helper()
		var l *recfleetv1.Lease
		w.until("lease", func() bool {
			if granted := e.sync(1, 5*time.Second).GetGranted(); len(granted) == 1 {
				l = granted[0]
			}
			return l != nil
		})
		return l
	}
	dead.archive(lease(dead))
	slow := lease(late) // archives only after the lease is lost
	good := lease(last)
	keys := []string{slow.GetObjectKey(), good.GetObjectKey()}
	if !slices.Equal(keys, []string{a.prefix + "video-000001.g2.mp4", a.prefix + "video-000001.g3.mp4"}) {
		t.Errorf("keys %v", keys)
	}
	right := last.archive(good)
	_, err := w.jobs().CompleteJob(t.Context(), late.archive(slow))
	wantCode(t, err, codes.FailedPrecondition, "lease lost")
	posed := late.archive(slow)
	posed.Generation, posed.EncoderId = good.GetGeneration(), last.id
	_, err = w.jobs().CompleteJob(t.Context(), posed)
	wantCode(t, err, codes.InvalidArgument, "object_key: ")
	if _, err := w.jobs().CompleteJob(t.Context(), right); err != nil {
		t.Fatal(err)
	}
	w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	_, err = w.jobs().CompleteJob(t.Context(), late.archive(slow))
	wantCode(t, err, codes.FailedPrecondition, "lease lost")
	var m manifest
	w.document(a.prefix+"manifest.json", &m)
	if o := m.Segments[0].Object; o == nil || o.Key != right.GetObjectKey() || o.SHA256 != chunk.Hash(right.GetSha256()).String() {
		t.Errorf("%+v", m)
	}
	stream, err := recfleetv1.NewRecordingServiceClient(w.admin).DownloadRecording(t.Context(), &recfleetv1.DownloadRecordingRequest{SessionId: a.session, Segment: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.GetData()...)
	}
	if sum := chunk.Sum(got); !bytes.Equal(sum[:], right.GetSha256()) {
		t.Errorf("%d bytes with hash %s were served", len(got), sum)
	}
}

func TestForgottenLeasesAreTakenBack(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a, e := newAgent(w), newEncoder(w)
	a.segment(1)
	if got := e.sync(1, 5*time.Second).GetGranted(); len(got) != 1 {
		t.Fatal(got)
	}
	// It has restarted under the same name, and holds nothing.
	got := e.sync(1, 5*time.Second).GetGranted()
	if len(got) != 1 || got[0].GetGeneration() != 2 {
		t.Errorf("%v", got)
	}
	_, err := w.jobs().Sync(t.Context(), &recfleetv1.EncoderServiceSyncRequest{EncoderId: e.id, BusPublicKey: "U" + strings.Repeat("A", 55)})
	wantCode(t, err, codes.InvalidArgument, "bus_public_key")
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	grant, err := w.jobs().Sync(t.Context(), &recfleetv1.EncoderServiceSyncRequest{EncoderId: e.id, BusPublicKey: key.Public(), MaxWait: durationpb.New(30 * time.Second)})
	if err != nil || grant.GetBus().GetUserJwt() == "" {
		t.Errorf("%v, %v", grant, err)
	}
}
