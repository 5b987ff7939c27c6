package api

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Bounds of what callers may send, in bytes where nothing else is said.
const (
	maxName      = 256 // users, hosts, versions
	maxReason    = 512
	maxDetail    = 4096
	maxCause     = 64
	maxEntries   = 64
	maxKey       = 128
	maxValue     = 4096
	maxSide      = 8192 // pixels
	maxMonitors  = 64
	maxEvents    = 1000
	maxSegment   = 1 << 24
	maxChunks    = 1 << 20
	maxAwaiting  = 10000
	maxHeld      = 256
	maxSlots     = 1 << 16
	maxLabels    = 16
	maxLoad      = 1 << 16 // cores
	maxObjectKey = 1024
	maxPage      = 500
	maxPageToken = 512
	longest      = 24 * time.Hour // of a segment
	maxWait      = 30 * time.Second
	defaultPage  = 50

	maxRecordings = 5000 // on a page: they fit into a message
)

// fieldError names the field of a request that is wrong, and how. Its text goes to the caller.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return e.field + ": " + e.problem }

func wrong(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// text takes one line of at most limit bytes without control characters; it may be empty.
func text(field, value string, limit int) error {
	switch {
	case len(value) > limit:
		return wrong(field, "is %d bytes long, at most %d", len(value), limit)
	case !utf8.ValidString(value):
		return wrong(field, "is not UTF-8")
	case strings.ContainsFunc(value, unicode.IsControl):
		return wrong(field, "holds control characters")
	}
	return nil
}

func required(field, value string, limit int) error {
	if value == "" {
		return wrong(field, "is missing")
	}
	return text(field, value, limit)
}

func within(field string, value, low, high int64) error {
	if value < low || value > high {
		return wrong(field, "is %d, must be %d to %d", value, low, high)
	}
	return nil
}

func sessionID(id string) error {
	if !chunk.ValidSession(id) {
		return wrong("session_id", "does not match ^[a-z0-9]{1,64}$")
	}
	return nil
}

var (
	randomID     = regexp.MustCompile(`^[a-z0-9]{16,64}$`)
	busPublicKey = regexp.MustCompile(`^U[A-Z2-7]{55}$`)
	label        = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	jobID        = regexp.MustCompile(`^[a-z0-9]{1,64}\.[1-9][0-9]{0,7}$`)
)

func matches(field, value string, pattern *regexp.Regexp) error {
	if !pattern.MatchString(value) {
		return wrong(field, "does not match %s", pattern)
	}
	return nil
}

// The years that a catalog can hold and that can be meant.
const firstYear, lastYear = 1990, 2199

func timestamp(field string, t *timestamppb.Timestamp) error {
	switch {
	case t == nil:
		return wrong(field, "is missing")
	case !t.IsValid() || t.AsTime().Year() < firstYear || t.AsTime().Year() > lastYear:
		return wrong(field, "is no time in the years %d to %d", firstYear, lastYear)
	}
	return nil
}

// stretch takes two times, the second after the first.
func stretch(prefix string, start, end *timestamppb.Timestamp) error {
	if err := first(timestamp(prefix+"start_time", start), timestamp(prefix+"end_time", end)); err != nil {
		return err
	}
	if !end.AsTime().After(start.AsTime()) {
		return wrong(prefix+"end_time", "is not after start_time")
	}
	return nil
}

func duration(field string, d *durationpb.Duration, low, high time.Duration) error {
	if d == nil {
		return nil
	}
	if !d.IsValid() || d.AsDuration() < low || d.AsDuration() > high {
		return wrong(field, "must be %v to %v", low, high)
	}
	return nil
}

func hash(field string, b []byte) error {
	if _, err := chunk.ParseHash(b); err != nil {
		return wrong(field, "is %d bytes long, must be 32", len(b))
	}
	return nil
}

func metadata(field string, m map[string]string) error {
	if len(m) > maxEntries {
		return wrong(field, "has %d entries, at most %d", len(m), maxEntries)
	}
	for k, v := range m {
		if err := required(field+" key", k, maxKey); err != nil {
			return err
		}
		if err := text(fmt.Sprintf("%s[%q]", field, k), v, maxValue); err != nil {
			return err
		}
	}
	return nil
}

func geometry(field string, g *recfleetv1.Geometry) error {
	if g == nil {
		return wrong(field, "is missing")
	}
	if len(g.GetMonitors()) > maxMonitors {
		return wrong(field+".monitors", "are %d, at most %d", len(g.GetMonitors()), maxMonitors)
	}
	err := first(within(field+".width", int64(g.GetWidth()), 1, maxSide), within(field+".height", int64(g.GetHeight()), 1, maxSide))
	for i, m := range g.GetMonitors() {
		at := fmt.Sprintf("%s.monitors[%d].", field, i)
		err = first(err, text(at+"name", m.GetName(), maxKey),
			within(at+"x", int64(m.GetX()), -maxSide, maxSide), within(at+"y", int64(m.GetY()), -maxSide, maxSide),
			within(at+"width", int64(m.GetWidth()), 1, maxSide), within(at+"height", int64(m.GetHeight()), 1, maxSide))
	}
	return err
}

func checkStart(r *recfleetv1.StartSessionRequest) error {
	return first(
		matches("request_id", r.GetRequestId(), randomID),
		text("user", r.GetUser(), maxName), text("stack", r.GetStack(), maxName), text("fleet", r.GetFleet(), maxName),
		text("instance", r.GetInstance(), maxName), metadata("metadata", r.GetMetadata()),
		timestamp("start_time", r.GetStartTime()), geometry("geometry", r.GetGeometry()),
		matches("bus_public_key", r.GetBusPublicKey(), busPublicKey), text("agent_version", r.GetAgentVersion(), maxName),
	)
}

func checkReport(r *recfleetv1.ReportEventsRequest) error {
	if err := sessionID(r.GetSessionId()); err != nil {
		return err
	}
	if len(r.GetEvents()) > maxEvents {
		return wrong("events", "are %d, at most %d", len(r.GetEvents()), maxEvents)
	}
	for i, e := range r.GetEvents() {
		if err := checkEvent(fmt.Sprintf("events[%d].", i), e); err != nil {
			return err
		}
	}
	return nil
}

func checkEvent(at string, e *recfleetv1.Event) error {
	if err := first(within(at+"number", e.GetNumber(), 1, 1<<62), timestamp(at+"time", e.GetTime())); err != nil {
		return err
	}
	switch b := e.GetBody().(type) {
	case *recfleetv1.Event_EpochStarted:
		at += "epoch_started."
		return first(within(at+"epoch", int64(b.EpochStarted.GetEpoch()), 1, maxSegment),
			geometry(at+"geometry", b.EpochStarted.GetGeometry()), text(at+"cause", b.EpochStarted.GetCause(), maxReason))
	case *recfleetv1.Event_SegmentSealed:
		return checkSeal(at+"segment_sealed.", b.SegmentSealed)
	case *recfleetv1.Event_GapDeclared:
		at += "gap_declared."
		return first(stretch(at, b.GapDeclared.GetStartTime(), b.GapDeclared.GetEndTime()),
			required(at+"cause", b.GapDeclared.GetCause(), maxCause), text(at+"detail", b.GapDeclared.GetDetail(), maxDetail))
	case *recfleetv1.Event_MonitorsChanged:
		return geometry(at+"monitors_changed.geometry", b.MonitorsChanged.GetGeometry())
	case *recfleetv1.Event_MetadataChanged:
		return metadata(at+"metadata_changed.metadata", b.MetadataChanged.GetMetadata())
	}
	return wrong(at+"body", "is missing or not known")
}

func checkSeal(at string, s *recfleetv1.SegmentSealed) error {
	if err := first(
		within(at+"segment", int64(s.GetSegment()), 1, maxSegment), within(at+"epoch", int64(s.GetEpoch()), 1, maxSegment),
		within(at+"chunk_count", int64(s.GetChunkCount()), 1, maxChunks),
		within(at+"byte_count", s.GetByteCount(), 1, int64(s.GetChunkCount())*chunk.MaxPayload),
		stretch(at, s.GetStartTime(), s.GetEndTime()),
		within(at+"width", int64(s.GetWidth()), 1, maxSide), within(at+"height", int64(s.GetHeight()), 1, maxSide),
		hash(at+"chain_start", s.GetChainStart()), hash(at+"chain_end", s.GetChainEnd()),
	); err != nil {
		return err
	}
	length := s.GetEndTime().AsTime().Sub(s.GetStartTime().AsTime())
	if length > longest {
		return wrong(at+"end_time", "is %v after start_time, at most %v", length, longest)
	}
	return within(at+"frame_count", s.GetFrameCount(), 1, int64(length))
}

func checkAgentSync(r *recfleetv1.AgentServiceSyncRequest) error {
	if err := first(sessionID(r.GetSessionId()), within("frame_count", r.GetFrameCount(), 0, 1<<62),
		within("spooled_bytes", r.GetSpooledBytes(), 0, 1<<62)); err != nil {
		return err
	}
	if r.GetLastFrameTime() != nil {
		if err := timestamp("last_frame_time", r.GetLastFrameTime()); err != nil {
			return err
		}
	}
	if r.GetUserIdle() != nil && (r.GetUserIdle().CheckValid() != nil || r.GetUserIdle().AsDuration() < 0) {
		return wrong("user_idle", "is not a length of time")
	}
	if len(r.GetAwaitingReceipt()) > maxAwaiting {
		return wrong("awaiting_receipt", "are %d, at most %d", len(r.GetAwaitingReceipt()), maxAwaiting)
	}
	for i, n := range r.GetAwaitingReceipt() {
		if err := within(fmt.Sprintf("awaiting_receipt[%d]", i), int64(n), 1, maxSegment); err != nil {
			return err
		}
	}
	if r.GetRenewBus() {
		return matches("bus_public_key", r.GetBusPublicKey(), busPublicKey)
	}
	return nil
}

func checkEnd(r *recfleetv1.EndSessionRequest) error {
	return first(sessionID(r.GetSessionId()), text("reason", r.GetReason(), maxReason), timestamp("end_time", r.GetEndTime()),
		within("last_segment", int64(r.GetLastSegment()), 0, maxSegment), within("last_event", r.GetLastEvent(), 0, 1<<62))
}

func checkEncoderSync(r *recfleetv1.EncoderServiceSyncRequest) error {
	if err := first(matches("encoder_id", r.GetEncoderId(), randomID), text("host", r.GetHost(), maxName),
		text("version", r.GetVersion(), maxName), within("free_slots", int64(r.GetFreeSlots()), 0, maxSlots),
		duration("max_wait", r.GetMaxWait(), 0, maxWait)); err != nil {
		return err
	}
	if len(r.GetLabels()) > maxLabels {
		return wrong("labels", "are %d, at most %d", len(r.GetLabels()), maxLabels)
	}
	for i, l := range r.GetLabels() {
		if err := matches(fmt.Sprintf("labels[%d]", i), l, label); err != nil {
			return err
		}
	}
	if load := r.GetLoad(); !(load >= 0 && load <= maxLoad) {
		return wrong("load", "is not a number of cores")
	}
	if len(r.GetHeld()) > maxHeld {
		return wrong("held", "are %d, at most %d", len(r.GetHeld()), maxHeld)
	}
	for i, h := range r.GetHeld() {
		at := fmt.Sprintf("held[%d].", i)
		if err := first(matches(at+"job_id", h.GetJobId(), jobID), within(at+"generation", h.GetGeneration(), 1, 1<<62),
			within(at+"frames_done", h.GetFramesDone(), 0, 1<<62)); err != nil {
			return err
		}
	}
	if r.GetBusPublicKey() != "" {
		return matches("bus_public_key", r.GetBusPublicKey(), busPublicKey)
	}
	return nil
}

func checkComplete(r *recfleetv1.CompleteJobRequest) error {
	if r.GetDuration() == nil {
		return wrong("duration", "is missing")
	}
	if t := r.GetThumbnails(); t != nil {
		for name, o := range map[string]*recfleetv1.ArchivedObject{"thumbnails.sprite.": t.GetSprite(), "thumbnails.index.": t.GetIndex()} {
			if err := first(required(name+"object_key", o.GetObjectKey(), maxObjectKey), within(name+"bytes", o.GetBytes(), 1, 1<<62),
				hash(name+"sha256", o.GetSha256()), text(name+"object_version", o.GetObjectVersion(), maxObjectKey)); err != nil {
				return err
			}
		}
	}
	return first(matches("job_id", r.GetJobId(), jobID), within("generation", r.GetGeneration(), 1, 1<<62),
		required("object_key", r.GetObjectKey(), maxObjectKey), within("bytes", r.GetBytes(), 1, 1<<62), hash("sha256", r.GetSha256()),
		within("frame_count", r.GetFrameCount(), 1, 1<<62), within("captured_frame_count", r.GetCapturedFrameCount(), 0, 1<<62), duration("duration", r.GetDuration(), 0, longest+time.Hour),
		within("width", int64(r.GetWidth()), 1, maxSide), within("height", int64(r.GetHeight()), 1, maxSide),
		text("codec", r.GetCodec(), maxName), text("ffmpeg_version", r.GetFfmpegVersion(), maxName),
		text("encoder_version", r.GetEncoderVersion(), maxName), matches("encoder_id", r.GetEncoderId(), randomID),
		text("object_version", r.GetObjectVersion(), maxObjectKey))
}

func checkFail(r *recfleetv1.FailJobRequest) error {
	switch r.GetCause() {
	case recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT, recfleetv1.FailureCause_FAILURE_CAUSE_DESTINATION, recfleetv1.FailureCause_FAILURE_CAUSE_ENCODER:
	default:
		return wrong("cause", "is missing or not known")
	}
	return first(matches("job_id", r.GetJobId(), jobID), within("generation", r.GetGeneration(), 1, 1<<62),
		matches("encoder_id", r.GetEncoderId(), randomID))
}

func checkList(r *recfleetv1.ListSessionsRequest) error {
	for i, s := range r.GetStates() {
		if _, ok := stateFromProto(s); !ok {
			return wrong(fmt.Sprintf("states[%d]", i), "is missing or not known")
		}
	}
	if len(r.GetStates()) > maxEntries {
		return wrong("states", "are %d, at most %d", len(r.GetStates()), maxEntries)
	}
	if _, _, ok := orderFromProto(r.GetOrderBy()); !ok {
		return wrong("order_by", `is none of "start_time", "end_time" and "user", with or without " desc"`)
	}
	for _, t := range []struct {
		field string
		value *timestamppb.Timestamp
	}{
		{"started_after", r.GetStartedAfter()}, {"started_before", r.GetStartedBefore()}, {"ended_after", r.GetEndedAfter()},
		{"ended_before", r.GetEndedBefore()}, {"active_at", r.GetActiveAt()},
	} {
		if t.value == nil {
			continue
		}
		if err := timestamp(t.field, t.value); err != nil {
			return err
		}
	}
	return first(text("user", r.GetUser(), maxName), text("stack", r.GetStack(), maxName), text("fleet", r.GetFleet(), maxName),
		text("instance", r.GetInstance(), maxName), text("text", r.GetText(), maxName), within("page_size", int64(r.GetPageSize()), 0, maxPage),
		text("page_token", r.GetPageToken(), maxPageToken))
}

func checkListRecordings(r *recfleetv1.ListRecordingsRequest) error {
	return first(sessionID(r.GetSessionId()), within("page_size", int64(r.GetPageSize()), 0, maxRecordings),
		text("page_token", r.GetPageToken(), maxPageToken))
}

func checkStop(r *recfleetv1.StopSessionRequest) error {
	return first(sessionID(r.GetSessionId()), text("reason", r.GetReason(), maxReason))
}

func checkDownload(r *recfleetv1.DownloadRecordingRequest) error {
	least, most := int64(1), int64(maxSegment)
	if documentName(r.GetFile()) != "" {
		least, most = 0, 0
	}
	return first(sessionID(r.GetSessionId()), within("file", int64(r.GetFile()), 0, int64(recfleetv1.RecordingFile_RECORDING_FILE_MARKER)),
		within("segment", int64(r.GetSegment()), least, most), within("offset", r.GetOffset(), 0, 1<<62), text("reason", r.GetReason(), maxReason))
}
