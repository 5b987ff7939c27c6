package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	sessionStatePrefix = "SESSION_STATE_"
	segmentStatePrefix = "SEGMENT_STATE_"
)

// words returns the names of an enum's values without their prefix, in lower case and without the unset one.
func words(names map[int32]string, prefix string) []string {
	var out []string
	for _, number := range slices.Sorted(maps.Keys(names)) {
		if number != 0 {
			out = append(out, strings.ToLower(strings.TrimPrefix(names[number], prefix)))
		}
	}
	return out
}

func stateName(s recfleetv1.SessionState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), sessionStatePrefix))
}

func stateNames() []string { return words(recfleetv1.SessionState_name, sessionStatePrefix) }

func stateCell(s *recfleetv1.Session) cell {
	c := cell{text: stateName(s.GetState())}
	switch s.GetState() {
	case recfleetv1.SessionState_SESSION_STATE_COMPLETE:
		c.paint = green
	case recfleetv1.SessionState_SESSION_STATE_STARTING, recfleetv1.SessionState_SESSION_STATE_RECORDING, recfleetv1.SessionState_SESSION_STATE_FINALIZING:
		c.paint = yellow
	case recfleetv1.SessionState_SESSION_STATE_INTERRUPTED, recfleetv1.SessionState_SESSION_STATE_REFUSED:
		c.paint = red
	}
	switch {
	case s.GetDeleteTime() != nil:
		c.text += " (deleted)"
	case s.GetHoldTime() != nil:
		c.text += " (held)"
	}
	if live(s) && s.GetStateReason() != "" { // an alarm is not only for those who ask for more columns
		why, _, _ := strings.Cut(s.GetStateReason(), " since ")
		c = cell{c.text + " (" + escape(why) + ")", red}
	}
	return c
}

func sessionColumns(t *tables) []column[*recfleetv1.Session] {
	type s = *recfleetv1.Session
	return []column[s]{
		{"ID", false, text(s.GetId)},
		{"STATE", false, stateCell},
		{"USER", false, name(t, s.GetUser)},
		{"STACK", false, name(t, s.GetStack)},
		{"FLEET", false, name(t, s.GetFleet)},
		{"INSTANCE", false, name(t, s.GetInstance)},
		{"STARTED", false, text(func(v s) string { return t.time(v.GetStartTime()) })},
		{"ENDED", false, text(func(v s) string { return t.time(v.GetEndTime()) })},
		{"RECORDED", false, text(func(v s) string { return durationText(v.GetRecordedDuration().AsDuration()) })},
		{"ARCHIVED", false, text(func(v s) string { return fmt.Sprintf("%d/%d", v.GetArchivedSegmentCount(), v.GetSegmentCount()) })},
		{"GAPS", false, text(func(v s) string { return number(v.GetGapCount()) })},
		{"GAP TIME", true, text(func(v s) string { return durationText(v.GetGapDuration().AsDuration()) })},
		{"SIZE", false, text(func(v s) string { return bytesText(v.GetArchivedBytes()) })},
		{"HELD", true, text(func(v s) string { return t.time(v.GetHoldTime()) })},
		{"EXPIRES", true, text(func(v s) string { return t.time(v.GetExpireTime()) })},
		{"DELETED", true, text(func(v s) string { return t.time(v.GetDeleteTime()) })},
		{"MODE", true, text(func(v s) string { return modeName(v.GetPolicy().GetMode()) })},
		{"RULE", true, text(func(v s) string { return v.GetPolicy().GetRule() })},
		{"STOP REASON", true, text(s.GetStopReason)},
		{"REASON", true, text(s.GetStateReason)},
	}
}

// modeName returns a mode's name, and nothing where there is none.
func modeName(m recfleetv1.RecordingMode) string {
	if m == recfleetv1.RecordingMode_RECORDING_MODE_UNSPECIFIED {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(m.String(), modePrefix)), "_", "-")
}

func sessionTable(t *tables, sessions []*recfleetv1.Session) { list(t, sessions, sessionColumns(t)) }

func sessionDetails(t *tables, s *recfleetv1.Session) {
	gaps := ""
	if s.GetGapCount() > 0 {
		gaps = fmt.Sprintf("%s in %d", durationText(s.GetGapDuration().AsDuration()), s.GetGapCount())
	}
	pairs := [][]cell{
		plain("id", s.GetId()), {{text: "state"}, stateCell(s)}, plain("reason", s.GetStateReason()), plain("stop reason", s.GetStopReason()),
		plain("user", s.GetUser()), plain("stack", s.GetStack()), plain("fleet", s.GetFleet()), plain("instance", s.GetInstance()),
		plain("started", t.both(s.GetStartTime())), plain("ended", t.both(s.GetEndTime())),
		plain("recorded", durationText(s.GetRecordedDuration().AsDuration())), plain("gaps", gaps),
		plain("archived", fmt.Sprintf("%d of %d segments, %s", s.GetArchivedSegmentCount(), s.GetSegmentCount(), bytesText(s.GetArchivedBytes()))),
		plain("held since", t.both(s.GetHoldTime())), plain("hold reason", s.GetHoldReason()),
		plain("rule", s.GetPolicy().GetRule()), plain("mode", modeName(s.GetPolicy().GetMode())),
		plain("policy", strings.TrimSpace(s.GetPolicy().GetVersion()+" "+s.GetPolicy().GetHash())),
		plain("expires", t.both(s.GetExpireTime())), plain("deleted", t.both(s.GetDeleteTime())),
	}
	for _, key := range slices.Sorted(maps.Keys(s.GetMetadata())) {
		pairs = append(pairs, plain("metadata "+key, s.GetMetadata()[key]))
	}
	t.fields(pairs)
	if len(s.GetEpochs()) > 0 {
		t.title("epochs")
		list(t, s.GetEpochs(), epochColumns(t))
	}
	if len(s.GetSegments()) > 0 {
		t.title("segments")
		list(t, s.GetSegments(), segmentColumns(t))
	}
	if len(s.GetGaps()) > 0 {
		t.title("gaps")
		list(t, s.GetGaps(), gapColumns(t))
	}
}

func epochColumns(t *tables) []column[*recfleetv1.Epoch] {
	type e = *recfleetv1.Epoch
	return []column[e]{
		{"EPOCH", false, text(func(v e) string { return number(v.GetNumber()) })},
		{"STARTED", false, text(func(v e) string { return t.exact(v.GetStartTime()) })},
		{"SIZE", false, text(func(v e) string { return size(v.GetGeometry().GetWidth(), v.GetGeometry().GetHeight()) })},
		{"MONITORS", false, text(func(v e) string { return strconv.Itoa(len(v.GetGeometry().GetMonitors())) })},
		{"CAUSE", false, text(e.GetCause)},
	}
}

func segmentColumns(t *tables) []column[*recfleetv1.Segment] {
	type g = *recfleetv1.Segment
	return []column[g]{
		{"SEGMENT", false, text(func(v g) string { return number(v.GetNumber()) })},
		{"EPOCH", false, text(func(v g) string { return number(v.GetEpoch()) })},
		{"STATE", false, text(func(v g) string {
			return strings.ToLower(strings.TrimPrefix(v.GetState().String(), segmentStatePrefix))
		})},
		{"STARTED", false, text(func(v g) string { return t.exact(v.GetStartTime()) })},
		{"LENGTH", false, text(func(v g) string { return between(v.GetStartTime(), v.GetEndTime()) })},
		{"SIZE", false, text(func(v g) string { return size(v.GetWidth(), v.GetHeight()) })},
		{"FRAMES", false, text(func(v g) string { return strconv.FormatInt(v.GetFrameCount(), 10) })},
		{"CHUNKS", true, text(func(v g) string { return number(v.GetChunkCount()) })},
		{"CAPTURED", false, text(func(v g) string { return bytesText(v.GetCapturedBytes()) })},
		{"MP4", false, text(func(v g) string { return v.GetRecording().GetLocation() })},
		{"SHA-256", true, text(func(v g) string { return hexText(v.GetRecording().GetSha256()) })},
	}
}

func gapColumns(t *tables) []column[*recfleetv1.Gap] {
	type g = *recfleetv1.Gap
	return []column[g]{
		{"STARTED", false, text(func(v g) string { return t.exact(v.GetStartTime()) })},
		{"LENGTH", false, text(func(v g) string { return between(v.GetStartTime(), v.GetEndTime()) })},
		{"CAUSE", false, text(g.GetCause)},
		{"DETAIL", false, text(g.GetDetail)},
	}
}

func recordingColumns(t *tables) []column[*recfleetv1.Recording] {
	type r = *recfleetv1.Recording
	return []column[r]{
		{"SEGMENT", false, text(func(v r) string { return number(v.GetSegment()) })},
		{"STARTED", false, text(func(v r) string { return t.exact(v.GetStartTime()) })},
		{"LENGTH", false, text(func(v r) string { return between(v.GetStartTime(), v.GetEndTime()) })},
		{"SIZE", false, text(func(v r) string { return size(v.GetWidth(), v.GetHeight()) })},
		{"FRAMES", false, text(func(v r) string { return strconv.FormatInt(v.GetFrameCount(), 10) })},
		{"BYTES", false, text(func(v r) string { return bytesText(v.GetBytes()) })},
		{"LOCATION", false, text(r.GetLocation)},
		{"SHA-256", true, text(func(v r) string { return hexText(v.GetSha256()) })},
	}
}

func between(from, to *timestamp) string { return durationText(to.AsTime().Sub(from.AsTime())) }

func hexText(b []byte) string { return fmt.Sprintf("%x", b) }

func number(n int32) string { return strconv.Itoa(int(n)) }

func size(width, height int32) string { return fmt.Sprintf("%dx%d", width, height) }
