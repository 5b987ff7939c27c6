package faults

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/manifest"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("%s: not in time", what)
		case <-tick.C:
		}
	}
}

// job returns the only job of a session's segment.
func (w *world) job(session string, segment int32) *recfleetv1.Job {
	w.t.Helper()
	got, err := recfleetv1.NewJobServiceClient(w.admin).ListJobs(w.t.Context(), &recfleetv1.ListJobsRequest{
		SessionId: session, States: []recfleetv1.JobState{1, 2, 3, 4, 5},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range got.GetJobs() {
		if j.GetSegment() == segment {
			return j
		}
	}
	w.t.Fatalf("segment %d has no job in %v", segment, got)
	return nil
}

// look takes in what is in the archive: every mp4 there is whole, however it came there, and none has changed since the last
// look.
func (w *world) look(f film) {
	w.t.Helper()
	now := map[string]bool{}
	for info, err := range w.store.List(w.t.Context(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		if !strings.HasSuffix(info.Key, ".mp4") {
			continue
		}
		now[info.Key] = true
		m, err := ffmpeg.Probe(w.t.Context(), filepath.Join(w.archive, info.Key))
		if err != nil || m.Frames != int64(f.frames) || m.Width != f.width || m.Height != f.height {
			w.t.Errorf("%s is not whole: %+v, %v", info.Key, m, err)
		}
		whole, err := w.store.Stat(w.t.Context(), info.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		if before, ok := w.seen[info.Key]; ok && before != whole.SHA256 {
			w.t.Errorf("%s was overwritten", info.Key)
		}
		w.seen[info.Key] = whole.SHA256
	}
	for key := range w.seen {
		if !now[key] {
			w.t.Errorf("%s is gone", key)
		}
	}
}

// expectComplete waits for the session's end and checks that every segment but those that are to be quarantined is in the
// archive as the manifest says, whole, and that the chunks of the others are still there.
func (w *world) expectComplete(session string, f film, quarantined ...int) {
	w.t.Helper()
	w.until("the session is complete", func() bool {
		got, err := recfleetv1.NewSessionServiceClient(w.admin).GetSession(w.t.Context(), &recfleetv1.GetSessionRequest{SessionId: session})
		if err != nil {
			w.t.Fatal(err)
		}
		return got.GetSession().GetState() == recfleetv1.SessionState_SESSION_STATE_COMPLETE
	})
	w.look(f)
	var m manifest.Manifest
	w.document(session+"/manifest.json", &m)
	if len(m.Segments) != f.segments || len(m.Gaps) != len(quarantined) {
		w.t.Fatalf("%d segments, gaps %v", len(m.Segments), m.Gaps)
	}
	bad := map[int]bool{}
	for _, n := range quarantined {
		bad[n] = true
	}
	for _, s := range m.Segments {
		if bad[s.Number] {
			if s.State != "quarantined" || s.Object != nil {
				w.t.Errorf("segment %d is %s, %+v", s.Number, s.State, s.Object)
			}
			continue
		}
		if s.State != "archived" || s.Object == nil {
			w.t.Errorf("segment %d is %s", s.Number, s.State)
			continue
		}
		info, err := w.store.Stat(w.t.Context(), s.Object.Key)
		if err != nil || info.Bytes != s.Object.Bytes || info.SHA256.String() != s.Object.SHA256 {
			w.t.Errorf("segment %d: %+v in the archive, %+v in the manifest, %v", s.Number, info, s.Object, err)
		}
		if got := w.job(session, int32(s.Number)); got.GetFailures() > 2 {
			w.t.Errorf("segment %d: %v", s.Number, got)
		}
	}
}

func (w *world) document(key string, into any) {
	w.t.Helper()
	body, _, err := w.store.Get(w.t.Context(), key, 0, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		w.t.Fatalf("%s: %v", key, err)
	}
}
