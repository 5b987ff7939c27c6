package api

import (
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/jobs"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Requests are converted only after they were checked.

func hashFromProto(b []byte) chunk.Hash {
	h, err := chunk.ParseHash(b)
	if err != nil {
		return chunk.Hash{} // it was checked
	}
	return h
}

func timeFromProto(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func startFromProto(r *recfleetv1.StartSessionRequest) sessions.Start {
	return sessions.Start{
		RequestID: r.GetRequestId(), User: r.GetUser(), Stack: r.GetStack(), Fleet: r.GetFleet(), Instance: r.GetInstance(),
		Metadata: r.GetMetadata(), Time: timeFromProto(r.GetStartTime()), BusPublicKey: r.GetBusPublicKey(), AgentVersion: r.GetAgentVersion(),
	}
}

func geometryFromProto(g *recfleetv1.Geometry) catalog.Geometry {
	out := catalog.Geometry{Width: int(g.GetWidth()), Height: int(g.GetHeight())}
	for _, m := range g.GetMonitors() {
		out.Monitors = append(out.Monitors, catalog.Monitor{
			Name: m.GetName(), X: int(m.GetX()), Y: int(m.GetY()), Width: int(m.GetWidth()), Height: int(m.GetHeight()), Primary: m.GetPrimary(),
		})
	}
	return out
}

func geometryToProto(g catalog.Geometry) *recfleetv1.Geometry {
	out := &recfleetv1.Geometry{Width: int32(g.Width), Height: int32(g.Height)}
	for _, m := range g.Monitors {
		out.Monitors = append(out.Monitors, &recfleetv1.Monitor{
			Name: m.Name, X: int32(m.X), Y: int32(m.Y), Width: int32(m.Width), Height: int32(m.Height), Primary: m.Primary,
		})
	}
	return out
}

func eventsFromProto(events []*recfleetv1.Event) []catalog.Event {
	out := make([]catalog.Event, 0, len(events))
	for _, e := range events {
		out = append(out, eventFromProto(e))
	}
	return out
}

func eventFromProto(e *recfleetv1.Event) catalog.Event {
	out := catalog.Event{Number: e.GetNumber(), Time: timeFromProto(e.GetTime())}
	switch b := e.GetBody().(type) {
	case *recfleetv1.Event_EpochStarted:
		out.Epoch = &catalog.Epoch{
			Number: int(b.EpochStarted.GetEpoch()), Start: out.Time, Geometry: geometryFromProto(b.EpochStarted.GetGeometry()),
			Cause: b.EpochStarted.GetCause(),
		}
	case *recfleetv1.Event_SegmentSealed:
		s := b.SegmentSealed
		out.Seal = &catalog.Seal{
			Segment: int(s.GetSegment()), Epoch: int(s.GetEpoch()), Start: timeFromProto(s.GetStartTime()), End: timeFromProto(s.GetEndTime()),
			Width: int(s.GetWidth()), Height: int(s.GetHeight()), Frames: s.GetFrameCount(), Chunks: int(s.GetChunkCount()),
			Bytes: s.GetByteCount(), ChainStart: hashFromProto(s.GetChainStart()), ChainEnd: hashFromProto(s.GetChainEnd()),
		}
	case *recfleetv1.Event_GapDeclared:
		g := b.GapDeclared
		out.Gap = &catalog.Gap{Start: timeFromProto(g.GetStartTime()), End: timeFromProto(g.GetEndTime()), Cause: g.GetCause(), Detail: g.GetDetail()}
	case *recfleetv1.Event_MonitorsChanged:
		g := geometryFromProto(b.MonitorsChanged.GetGeometry())
		out.Monitors = &g
	case *recfleetv1.Event_MetadataChanged:
		out.Metadata = b.MetadataChanged.GetMetadata()
		if out.Metadata == nil {
			out.Metadata = map[string]string{}
		}
	}
	return out
}

func beatFromProto(r *recfleetv1.AgentServiceSyncRequest) sessions.Beat {
	b := sessions.Beat{Frames: r.GetFrameCount(), Idle: r.GetUserIdle().AsDuration(), IdleKnown: r.GetUserIdle() != nil}
	for _, n := range r.GetAwaitingReceipt() {
		b.Awaiting = append(b.Awaiting, int(n))
	}
	if r.GetRenewBus() {
		b.BusPublicKey = r.GetBusPublicKey()
	}
	return b
}

// heardFromProto is what an agent says of itself, for everybody to know.
func heardFromProto(r *recfleetv1.AgentServiceSyncRequest) catalog.Beat {
	b := catalog.Beat{
		Session: r.GetSessionId(), LastFrame: timeFromProto(r.GetLastFrameTime()), Spooled: r.GetSpooledBytes(), Frames: r.GetFrameCount(), Idle: -1,
	}
	if r.GetUserIdle() != nil {
		b.Idle = r.GetUserIdle().AsDuration()
	}
	return b
}

func ordersToProto(o sessions.Orders) *recfleetv1.AgentServiceSyncResponse {
	out := &recfleetv1.AgentServiceSyncResponse{NextSync: durationpb.New(o.NextSync), AcknowledgedThrough: o.Acknowledged}
	for _, r := range o.Receipts {
		out.Receipts = append(out.Receipts, &recfleetv1.Receipt{Segment: int32(r.Segment), ChunkCount: int32(r.Chunks), ChainEnd: r.ChainEnd[:]})
	}
	for segment, seqs := range o.Missing {
		m := &recfleetv1.MissingChunks{Segment: int32(segment)}
		for _, n := range seqs {
			m.Seqs = append(m.Seqs, int32(n))
		}
		out.Missing = append(out.Missing, m)
	}
	if o.Stop != "" {
		out.Stop = &recfleetv1.StopOrder{Reason: o.Stop}
	}
	if o.Bus != nil {
		out.Bus = o.Bus.Proto()
	}
	return out
}

func encoderFromProto(r *recfleetv1.EncoderServiceSyncRequest) jobs.Encoder {
	e := jobs.Encoder{
		ID: r.GetEncoderId(), Host: r.GetHost(), Version: r.GetVersion(), Labels: r.GetLabels(), Load: r.GetLoad(), Free: int(r.GetFreeSlots()),
		Wait: r.GetMaxWait().AsDuration(), Draining: r.GetDraining(),
	}
	for _, h := range r.GetHeld() {
		e.Held = append(e.Held, catalog.Held{Job: h.GetJobId(), Generation: h.GetGeneration(), Frames: h.GetFramesDone()})
	}
	return e
}

func leaseToProto(l catalog.Leased, lasts time.Duration, s EncodeSettings) *recfleetv1.Lease {
	g := l.Seal
	s = s.under(l.Encode)
	key := jobs.ObjectKey(l.ArchivePrefix, l.Job.Segment, l.Job.Generation)
	sprite, index := jobs.ThumbnailKeys(key)
	return &recfleetv1.Lease{
		JobId: l.Job.ID, Generation: l.Job.Generation, Duration: durationpb.New(lasts), Attempt: int32(l.Job.Failures + 1),
		Source: &recfleetv1.SegmentSource{
			SessionId: l.Job.Session, Segment: int32(g.Segment), ChunkCount: int32(g.Chunks), ByteCount: g.Bytes, FrameCount: g.Frames,
			Width: int32(g.Width), Height: int32(g.Height), StartTime: timeToProto(g.Start), Duration: durationpb.New(g.End.Sub(g.Start)),
			ChainStart: g.ChainStart[:], ChainEnd: g.ChainEnd[:],
		},
		Settings: &recfleetv1.EncodeSettings{
			FrameRate: int32(l.FrameRate), Preset: s.Preset, Crf: int32(s.CRF), KeyframeInterval: durationpb.New(s.KeyframeInterval),
			Bitrate: s.Bitrate, MaxFrameRate: int32(s.MaxFrameRate), MaxWidth: int32(s.MaxWidth), MaxHeight: int32(s.MaxHeight),
			ThumbnailInterval: durationpb.New(s.ThumbnailInterval),
		},
		ObjectKey: key, SpriteKey: sprite, ThumbnailIndexKey: index,
	}
}

func recordingFromProto(r *recfleetv1.CompleteJobRequest) catalog.Recording {
	return catalog.Recording{
		ObjectKey: r.GetObjectKey(), ObjectVersion: r.GetObjectVersion(), Bytes: r.GetBytes(), SHA256: hashFromProto(r.GetSha256()),
		Width: int(r.GetWidth()), Height: int(r.GetHeight()), Frames: r.GetFrameCount(), Duration: r.GetDuration().AsDuration(),
		Codec: r.GetCodec(), FFmpegVersion: r.GetFfmpegVersion(), EncoderVersion: r.GetEncoderVersion(), EncoderID: r.GetEncoderId(),
		Thumbnails: catalog.Thumbnails{Sprite: objectFromProto(r.GetThumbnails().GetSprite()), Index: objectFromProto(r.GetThumbnails().GetIndex())},
	}
}

func objectFromProto(o *recfleetv1.ArchivedObject) catalog.Object {
	if o == nil {
		return catalog.Object{}
	}
	return catalog.Object{Key: o.GetObjectKey(), Version: o.GetObjectVersion(), Bytes: o.GetBytes(), SHA256: hashFromProto(o.GetSha256())}
}

func thumbnailsToProto(t catalog.Thumbnails) *recfleetv1.Thumbnails {
	if t == (catalog.Thumbnails{}) {
		return nil
	}
	wire := func(o catalog.Object) *recfleetv1.ArchivedObject {
		return &recfleetv1.ArchivedObject{ObjectKey: o.Key, Bytes: o.Bytes, Sha256: o.SHA256[:], ObjectVersion: o.Version}
	}
	return &recfleetv1.Thumbnails{Sprite: wire(t.Sprite), Index: wire(t.Index)}
}

// oneLine makes a program's words fit for the catalog and for logs: a report is not refused for how it is worded.
func oneLine(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// stateTable pairs the wire's states with the catalog's.
func stateTable() map[recfleetv1.SessionState]catalog.SessionState {
	return map[recfleetv1.SessionState]catalog.SessionState{
		recfleetv1.SessionState_SESSION_STATE_STARTING:    catalog.SessionStarting,
		recfleetv1.SessionState_SESSION_STATE_RECORDING:   catalog.SessionRecording,
		recfleetv1.SessionState_SESSION_STATE_FINALIZING:  catalog.SessionFinalizing,
		recfleetv1.SessionState_SESSION_STATE_COMPLETE:    catalog.SessionComplete,
		recfleetv1.SessionState_SESSION_STATE_INTERRUPTED: catalog.SessionInterrupted,
		recfleetv1.SessionState_SESSION_STATE_EMPTY:       catalog.SessionEmpty,
		recfleetv1.SessionState_SESSION_STATE_REFUSED:     catalog.SessionRefused,
	}
}

func stateFromProto(s recfleetv1.SessionState) (catalog.SessionState, bool) {
	state, ok := stateTable()[s]
	return state, ok
}

func stateToProto(s catalog.SessionState) recfleetv1.SessionState {
	for wire, state := range stateTable() {
		if state == s {
			return wire
		}
	}
	return recfleetv1.SessionState_SESSION_STATE_UNSPECIFIED
}

func segmentStateToProto(s catalog.SegmentState) recfleetv1.SegmentState {
	switch s {
	case catalog.SegmentSealed:
		return recfleetv1.SegmentState_SEGMENT_STATE_SEALED
	case catalog.SegmentEncoding:
		return recfleetv1.SegmentState_SEGMENT_STATE_ENCODING
	case catalog.SegmentArchived:
		return recfleetv1.SegmentState_SEGMENT_STATE_ARCHIVED
	case catalog.SegmentQuarantined:
		return recfleetv1.SegmentState_SEGMENT_STATE_QUARANTINED
	}
	return recfleetv1.SegmentState_SEGMENT_STATE_UNSPECIFIED
}

// orderTable pairs the wire's orders with the catalog's.
func orderTable() map[string]catalog.Order {
	return map[string]catalog.Order{"start_time": catalog.OrderStart, "end_time": catalog.OrderEnd, "user": catalog.OrderUser}
}

func orderFromProto(s string) (order catalog.Order, ascending, ok bool) {
	if s == "" {
		return catalog.OrderStart, false, true
	}
	name, descending := strings.CutSuffix(s, " desc")
	order, ok = orderTable()[name]
	return order, !descending, ok
}

func filterFromProto(r *recfleetv1.ListSessionsRequest) catalog.Filter {
	f := catalog.Filter{
		User: r.GetUser(), Stack: r.GetStack(), Fleet: r.GetFleet(), Instance: r.GetInstance(), Text: r.GetText(), Deleted: r.GetShowDeleted(),
		StartedAfter: timeFromProto(r.GetStartedAfter()), StartedBefore: timeFromProto(r.GetStartedBefore()),
		EndedAfter: timeFromProto(r.GetEndedAfter()), EndedBefore: timeFromProto(r.GetEndedBefore()), ActiveAt: timeFromProto(r.GetActiveAt()),
	}
	for _, wire := range r.GetStates() {
		state, _ := stateFromProto(wire)
		f.States = append(f.States, state)
	}
	f.Order, f.Ascending, _ = orderFromProto(r.GetOrderBy())
	return f
}

func sessionToProto(s catalog.Session) *recfleetv1.Session {
	return &recfleetv1.Session{
		Id: s.ID, State: stateToProto(s.State), StateReason: s.Reason(), User: s.User, Stack: s.Stack, Fleet: s.Fleet, Instance: s.Instance,
		Metadata: s.Metadata, StartTime: timeToProto(s.Start), EndTime: timeToProto(s.End), RecordedDuration: durationpb.New(s.Totals.Recorded),
		GapDuration: durationpb.New(s.Totals.Missing), SegmentCount: int32(s.Totals.Segments), ArchivedSegmentCount: int32(s.Totals.Archived),
		GapCount: int32(s.Totals.Gaps), ArchivedBytes: s.Totals.ArchivedBytes, StopReason: s.StopReason, Policy: sessionPolicyToProto(s.Policy),
		DeleteTime: timeToProto(s.Deletion.Ordered), HoldTime: timeToProto(s.Hold.Time), HoldReason: s.Hold.Reason, ExpireTime: expireTime(s),
	}
}

// expireTime is when a session's recordings go by themselves; nil where they do not, or are gone.
func expireTime(s catalog.Session) *timestamppb.Timestamp {
	if !s.Deletion.Ordered.IsZero() {
		return nil
	}
	return timeToProto(s.RetainUntil)
}

func detailToProto(d catalog.Detail, at object.Location) *recfleetv1.Session {
	out := sessionToProto(d.Session)
	for _, e := range d.Epochs {
		out.Epochs = append(out.Epochs, &recfleetv1.Epoch{
			Number: int32(e.Number), StartTime: timeToProto(e.Start), Geometry: geometryToProto(e.Geometry), Cause: e.Cause,
		})
	}
	for _, s := range d.Segments {
		wire := &recfleetv1.Segment{
			Number: int32(s.Segment), Epoch: int32(s.Epoch), State: segmentStateToProto(s.State), StartTime: timeToProto(s.Start),
			EndTime: timeToProto(s.End), Width: int32(s.Width), Height: int32(s.Height), FrameCount: s.Frames, ChunkCount: int32(s.Chunks),
			CapturedBytes: s.Bytes,
		}
		if s.State == catalog.SegmentArchived {
			wire.Recording = recordingToProto(s, at)
		}
		out.Segments = append(out.Segments, wire)
	}
	for _, g := range d.Gaps {
		out.Gaps = append(out.Gaps, &recfleetv1.Gap{StartTime: timeToProto(g.Start), EndTime: timeToProto(g.End), Cause: g.Cause, Detail: g.Detail})
	}
	return out
}

func recordingToProto(s catalog.Segment, at object.Location) *recfleetv1.Recording {
	r := s.Recording
	return &recfleetv1.Recording{
		SessionId: s.Session, Segment: int32(s.Segment), ObjectKey: r.ObjectKey, Bytes: r.Bytes, Sha256: r.SHA256[:], Width: int32(r.Width),
		Height: int32(r.Height), FrameCount: r.Frames, StartTime: timeToProto(s.Start), EndTime: timeToProto(s.End),
		Location: objectURL(at, r.ObjectKey), Thumbnails: thumbnailsToProto(r.Thumbnails),
	}
}

// objectURL is where an object lies, for a person.
func objectURL(at object.Location, key string) string {
	if at.Scheme == object.SchemeFile {
		return "file://" + strings.TrimSuffix(at.Dir, "/") + "/" + key
	}
	return "s3://" + at.Bucket + "/" + at.Prefix + key
}
