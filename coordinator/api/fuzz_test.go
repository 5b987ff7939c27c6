package api

import (
	"testing"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Whatever comes over the wire is refused with a field's name, or is what the rest of the coordinator takes for granted.
func FuzzReportEvents(f *testing.F) {
	add := func(m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(sealReport(goodSeal()))
	for _, body := range []*recfleetv1.Event{
		{Body: &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{Epoch: 1, Geometry: goodStart().GetGeometry()}}},
		{Body: &recfleetv1.Event_GapDeclared{GapDeclared: &recfleetv1.GapDeclared{StartTime: goodSeal().GetStartTime(), EndTime: goodSeal().GetEndTime(), Cause: "c"}}},
		{Body: &recfleetv1.Event_MonitorsChanged{MonitorsChanged: &recfleetv1.MonitorsChanged{Geometry: goodStart().GetGeometry()}}},
		{Body: &recfleetv1.Event_MetadataChanged{MetadataChanged: &recfleetv1.MetadataChanged{Metadata: map[string]string{"k": "v"}}}},
	} {
		body.Number, body.Time = 7, goodStart().GetStartTime()
		add(&recfleetv1.ReportEventsRequest{SessionId: "a", Events: []*recfleetv1.Event{body}})
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r recfleetv1.ReportEventsRequest
		if proto.Unmarshal(raw, &r) != nil {
			return
		}
		if err := checkReport(&r); err != nil {
			oneLineError(t, err)
			return
		}
		for _, e := range eventsFromProto(r.GetEvents()) {
			if e.Kind() == "" || e.Number < 1 || e.Time.UnixNano() == 0 {
				t.Errorf("%+v", e)
			}
			if s := e.Seal; s != nil && (s.Segment < 1 || s.Chunks < 1 || s.Bytes < 1 || s.Frames < 1 || !s.End.After(s.Start) || s.End.Sub(s.Start) > 24*time.Hour) {
				t.Errorf("%+v", s)
			}
			if m := e.Monitors; m != nil && (m.Width < 1 || m.Height < 1 || m.Width > 8192 || m.Height > 8192 || len(m.Monitors) > 64) {
				t.Errorf("%+v", m)
			}
			if g := e.Gap; g != nil && (!g.End.After(g.Start) || g.Cause == "") {
				t.Errorf("%+v", g)
			}
		}
	})
}

func FuzzRequests(f *testing.F) {
	b, err := proto.Marshal(goodStart())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var (
			start    recfleetv1.StartSessionRequest
			sync     recfleetv1.AgentServiceSyncRequest
			end      recfleetv1.EndSessionRequest
			encoder  recfleetv1.EncoderServiceSyncRequest
			complete recfleetv1.CompleteJobRequest
			fail     recfleetv1.FailJobRequest
			list     recfleetv1.ListSessionsRequest
			stop     recfleetv1.StopSessionRequest
			download recfleetv1.DownloadRecordingRequest
			listJobs recfleetv1.ListJobsRequest
			audit    recfleetv1.ListAuditRecordsRequest
			hold     recfleetv1.HoldSessionRequest
			agents   recfleetv1.ListAgentsRequest
		)
		for _, c := range []struct {
			message proto.Message
			check   func() error
			convert func()
		}{
			{&start, func() error { return checkStart(&start) }, func() { startFromProto(&start) }},
			{&sync, func() error { return checkAgentSync(&sync) }, func() { beatFromProto(&sync) }},
			{&end, func() error { return checkEnd(&end) }, func() { timeFromProto(end.GetEndTime()) }},
			{&encoder, func() error { return checkEncoderSync(&encoder) }, func() { encoderFromProto(&encoder) }},
			{&complete, func() error { return checkComplete(&complete) }, func() { recordingFromProto(&complete) }},
			{&fail, func() error { return checkFail(&fail) }, func() { oneLineText(t, oneLine(fail.GetDetail(), maxReason)) }},
			{&list, func() error { return checkList(&list) }, func() {}},
			{&stop, func() error { return checkStop(&stop) }, func() { oneLineText(t, stop.GetReason()) }},
			{&listJobs, func() error { return checkListJobs(&listJobs) }, func() { oneLineText(t, listJobs.GetPageToken()) }},
			{&audit, func() error { return checkListAudit(&audit) }, func() { oneLineText(t, audit.GetActor()+audit.GetObject()+audit.GetAction()) }},
			{&hold, func() error { return checkOrder(hold.GetSessionId(), hold.GetReason()) }, func() { oneLineText(t, hold.GetReason()) }},
			{&agents, func() error { return page(agents.GetPageSize(), agents.GetPageToken()) }, func() { oneLineText(t, agents.GetPageToken()) }},
			{&download, func() error { return checkDownload(&download) }, func() {}},
		} {
			if proto.Unmarshal(raw, c.message) != nil {
				continue
			}
			if err := c.check(); err != nil {
				oneLineError(t, err)
				continue
			}
			c.convert()
		}
	})
}

func oneLineError(t *testing.T, err error) {
	t.Helper()
	got, told := toStatus(err)
	if !told || got == nil {
		t.Errorf("%v became %v", err, got)
	}
	oneLineText(t, err.Error())
}

func oneLineText(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		if unicode.IsControl(r) {
			t.Errorf("control character in %q", s)
		}
	}
}
