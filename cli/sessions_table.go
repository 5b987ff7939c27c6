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

func stateName(s recfleetv1.SessionState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), sessionStatePrefix))
}

func stateNames() []string {
	var names []string
	for _, number := range slices.Sorted(maps.Keys(recfleetv1.SessionState_name)) {
		if number != 0 {
			names = append(names, stateName(recfleetv1.SessionState(number)))
		}
	}
	return names
}

func parseState(name string) (recfleetv1.SessionState, error) {
	number, ok := recfleetv1.SessionState_value[sessionStatePrefix+strings.ToUpper(name)]
	if !ok || number == 0 {
		return 0, fmt.Errorf("state %q is unknown; it is one of %s", name, strings.Join(stateNames(), ", "))
	}
	return recfleetv1.SessionState(number), nil
}

func stateCell(s recfleetv1.SessionState) cell {
	c := cell{text: stateName(s)}
	switch s {
	case recfleetv1.SessionState_SESSION_STATE_COMPLETE:
		c.paint = green
	case recfleetv1.SessionState_SESSION_STATE_STARTING, recfleetv1.SessionState_SESSION_STATE_RECORDING, recfleetv1.SessionState_SESSION_STATE_FINALIZING:
		c.paint = yellow
	case recfleetv1.SessionState_SESSION_STATE_INTERRUPTED, recfleetv1.SessionState_SESSION_STATE_REFUSED:
		c.paint = red
	}
	return c
}

func sessionTable(t *tables, sessions []*recfleetv1.Session) {
	var rows [][]cell
	for _, s := range sessions {
		row := append(plain(s.GetId()), stateCell(s.GetState()))
		rows = append(rows, append(row, plain(
			s.GetUser(), s.GetStack(), s.GetFleet(), s.GetInstance(), timeText(s.GetStartTime()), timeText(s.GetEndTime()),
			durationText(s.GetRecordedDuration().AsDuration()),
			fmt.Sprintf("%d/%d", s.GetArchivedSegmentCount(), s.GetSegmentCount()), strconv.Itoa(int(s.GetGapCount())),
			bytesText(s.GetArchivedBytes()),
		)...))
	}
	t.rows(plain("ID", "STATE", "USER", "STACK", "FLEET", "INSTANCE", "STARTED", "ENDED", "RECORDED", "ARCHIVED", "GAPS", "SIZE"), rows)
}

func sessionDetails(t *tables, s *recfleetv1.Session) {
	pairs := [][]cell{plain("id", s.GetId()), {{text: "state"}, stateCell(s.GetState())}}
	for _, p := range [][2]string{
		{"reason", s.GetStateReason()}, {"stop reason", s.GetStopReason()}, {"user", s.GetUser()}, {"stack", s.GetStack()},
		{"fleet", s.GetFleet()}, {"instance", s.GetInstance()}, {"started", timeText(s.GetStartTime())}, {"ended", timeText(s.GetEndTime())},
		{"recorded", durationText(s.GetRecordedDuration().AsDuration())}, {"gaps", durationText(s.GetGapDuration().AsDuration())},
		{"archived", fmt.Sprintf("%d of %d segments, %s", s.GetArchivedSegmentCount(), s.GetSegmentCount(), bytesText(s.GetArchivedBytes()))},
	} {
		if p[1] != "" {
			pairs = append(pairs, plain(p[0], p[1]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.GetMetadata())) {
		pairs = append(pairs, plain("metadata "+name, s.GetMetadata()[name]))
	}
	t.fields(pairs)
	var epochs, segments, gaps [][]cell
	for _, e := range s.GetEpochs() {
		g := e.GetGeometry()
		epochs = append(epochs, plain(number(e.GetNumber()), timeText(e.GetStartTime()), size(g.GetWidth(), g.GetHeight()), strconv.Itoa(len(g.GetMonitors())), e.GetCause()))
	}
	for _, g := range s.GetSegments() {
		segments = append(segments, plain(
			number(g.GetNumber()), number(g.GetEpoch()), strings.ToLower(strings.TrimPrefix(g.GetState().String(), segmentStatePrefix)),
			timeText(g.GetStartTime()), durationText(g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime())), size(g.GetWidth(), g.GetHeight()),
			strconv.FormatInt(g.GetFrameCount(), 10), bytesText(g.GetCapturedBytes()), g.GetRecording().GetLocation()))
	}
	for _, g := range s.GetGaps() {
		gaps = append(gaps, plain(timeText(g.GetStartTime()), durationText(g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime())), g.GetCause(), g.GetDetail()))
	}
	for _, part := range []struct {
		title  string
		header []cell
		rows   [][]cell
	}{
		{"epochs", plain("EPOCH", "STARTED", "SIZE", "MONITORS", "CAUSE"), epochs},
		{"segments", plain("SEGMENT", "EPOCH", "STATE", "STARTED", "LENGTH", "SIZE", "FRAMES", "CAPTURED", "MP4"), segments},
		{"gaps", plain("STARTED", "LENGTH", "CAUSE", "DETAIL"), gaps},
	} {
		if len(part.rows) > 0 {
			t.title("%s", part.title)
			t.rows(part.header, part.rows)
		}
	}
}

func number(n int32) string { return strconv.Itoa(int(n)) }

func size(width, height int32) string { return fmt.Sprintf("%dx%d", width, height) }
