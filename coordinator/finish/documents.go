package finish

import (
	"encoding/json"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

// metadata is the content of metadata.json. Its first eight fields are those that session recorders on AppStream write;
// the rest is ours.
type metadata struct {
	StackName                  string `json:"StackName,omitempty"`
	UserAccessMode             string `json:"UserAccessMode,omitempty"`
	SessionReservationDateTime string `json:"SessionReservationDateTime,omitempty"`
	UserName                   string `json:"UserName,omitempty"`
	SessionID                  string `json:"SessionId,omitempty"`
	ImageArn                   string `json:"ImageArn,omitempty"`
	InstanceType               string `json:"InstanceType,omitempty"`
	FleetName                  string `json:"FleetName,omitempty"`

	RecordingID  string    `json:"recording_id"`
	Instance     string    `json:"instance,omitempty"`
	AgentVersion string    `json:"agent_version,omitempty"`
	Start        time.Time `json:"start_time"`
	End          time.Time `json:"end_time"`
	Epochs       []epoch   `json:"epochs"`
	// MonitorChanges are those within an epoch: the desktop's size stayed.
	MonitorChanges []monitorChange   `json:"monitor_changes,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

type epoch struct {
	Number   int              `json:"number"`
	Start    time.Time        `json:"start_time"`
	Geometry catalog.Geometry `json:"geometry"`
	Cause    string           `json:"cause,omitempty"`
}

type monitorChange struct {
	Time     time.Time        `json:"time"`
	Geometry catalog.Geometry `json:"geometry"`
}

func metadataOf(d catalog.Detail) metadata {
	s := d.Session
	known := func(name, otherwise string) string {
		if v := s.Metadata[name]; v != "" {
			return v
		}
		return otherwise
	}
	return metadata{
		StackName:                  known("AppStream_Stack_Name", s.Stack),
		UserAccessMode:             known("AppStream_User_Access_Mode", ""),
		SessionReservationDateTime: known("AppStream_Session_Reservation_DateTime", ""),
		UserName:                   known("AppStream_UserName", s.User),
		SessionID:                  known("AppStream_Session_ID", ""),
		ImageArn:                   known("AppStream_Image_Arn", ""),
		InstanceType:               known("AppStream_Instance_Type", ""),
		FleetName:                  known("AppStream_Resource_Name", s.Fleet),
		RecordingID:                s.ID, Instance: s.Instance, AgentVersion: s.AgentVersion, Start: s.Start, End: s.End,
		Epochs: epochsOf(d), MonitorChanges: monitorChangesOf(d), Metadata: s.Metadata,
	}
}

func monitorChangesOf(d catalog.Detail) []monitorChange {
	var changes []monitorChange
	for _, m := range d.MonitorChanges {
		changes = append(changes, monitorChange(m))
	}
	return changes
}

func epochsOf(d catalog.Detail) []epoch {
	epochs := make([]epoch, 0, len(d.Epochs))
	for _, e := range d.Epochs {
		epochs = append(epochs, epoch(e))
	}
	return epochs
}

const (
	manifestFormat  = "recfleet manifest"
	manifestVersion = 1
)

// manifest is the content of manifest.json. Fields may be added to it; none changes its meaning.
type manifest struct {
	Format  string `json:"format"`
	Version int    `json:"version"`

	Session struct {
		ID           string     `json:"id"`
		State        string     `json:"state"`
		StateReason  string     `json:"state_reason,omitempty"`
		User         string     `json:"user,omitempty"`
		Stack        string     `json:"stack,omitempty"`
		Fleet        string     `json:"fleet,omitempty"`
		Instance     string     `json:"instance,omitempty"`
		Start        time.Time  `json:"start_time"`
		End          time.Time  `json:"end_time"`
		Registered   time.Time  `json:"registered_time"` // by the coordinator's clock
		Lost         *time.Time `json:"lost_time,omitempty"`
		EndedBy      string     `json:"ended_by"`
		EndReason    string     `json:"end_reason,omitempty"`
		StopReason   string     `json:"stop_reason,omitempty"`
		AgentVersion string     `json:"agent_version,omitempty"`
		FrameRate    int        `json:"frame_rate"`
		ChainStart   string     `json:"chain_start"`
		Events       int64      `json:"events"`
	} `json:"session"`

	RecordedSeconds float64 `json:"recorded_seconds"` // of the archived segments
	MissingSeconds  float64 `json:"missing_seconds"`  // of the gaps

	Epochs   []epoch           `json:"epochs"`
	Segments []manifestSegment `json:"segments"`
	Gaps     []manifestGap     `json:"gaps"`
}

type manifestSegment struct {
	Number        int             `json:"number"`
	Epoch         int             `json:"epoch"`
	State         string          `json:"state"`
	Quarantine    string          `json:"quarantine_cause,omitempty"`
	SealedBy      string          `json:"sealed_by"`
	Start         time.Time       `json:"start_time"`
	End           time.Time       `json:"end_time"`
	Width         int             `json:"width"`
	Height        int             `json:"height"`
	Frames        int64           `json:"frames"`
	Chunks        int             `json:"chunks"`
	CapturedBytes int64           `json:"captured_bytes"`
	ChainStart    string          `json:"chain_start,omitempty"`
	ChainBroken   bool            `json:"chain_broken_before,omitempty"` // the chain's start is not known
	ChainEnd      string          `json:"chain_end"`
	Object        *manifestObject `json:"object,omitempty"` // of an archived segment
}

type manifestObject struct {
	Key             string  `json:"key"`
	Version         string  `json:"version,omitempty"`
	Bytes           int64   `json:"bytes"`
	SHA256          string  `json:"sha256"`
	Width           int     `json:"width"`
	Height          int     `json:"height"`
	Frames          int64   `json:"frames"`
	DurationSeconds float64 `json:"duration_seconds"`
	Codec           string  `json:"codec"`
	FFmpegVersion   string  `json:"ffmpeg_version"`
	EncoderVersion  string  `json:"encoder_version"`
	EncoderID       string  `json:"encoder_id"`
}

type manifestGap struct {
	Start  time.Time `json:"start_time"`
	End    time.Time `json:"end_time"`
	Cause  string    `json:"cause"`
	Detail string    `json:"detail,omitempty"`
}

func manifestOf(d catalog.Detail, state catalog.SessionState, reason string) manifest {
	s := d.Session
	m := manifest{Format: manifestFormat, Version: manifestVersion, Epochs: epochsOf(d), Segments: []manifestSegment{}, Gaps: []manifestGap{}}
	out := &m.Session
	out.ID, out.State, out.StateReason = s.ID, string(state), reason
	out.User, out.Stack, out.Fleet, out.Instance = s.User, s.Stack, s.Fleet, s.Instance
	out.Start, out.End, out.Registered = s.Start, s.End, s.Created
	out.EndedBy, out.EndReason, out.StopReason = string(s.EndedBy), s.EndReason, s.StopReason
	out.AgentVersion, out.FrameRate, out.Events = s.AgentVersion, s.FrameRate, s.LastEvent
	out.ChainStart = chunk.Genesis(s.ID).String()
	if !s.Lost.IsZero() {
		out.Lost = &s.Lost
	}
	for _, g := range d.Segments {
		if g.State == catalog.SegmentArchived {
			m.RecordedSeconds += g.End.Sub(g.Start).Seconds()
		}
		m.Segments = append(m.Segments, segmentOf(g))
	}
	for _, g := range d.Gaps {
		m.MissingSeconds += g.End.Sub(g.Start).Seconds()
		m.Gaps = append(m.Gaps, manifestGap(g))
	}
	return m
}

func segmentOf(g catalog.Segment) manifestSegment {
	s := manifestSegment{
		Number: g.Segment, Epoch: g.Epoch, State: string(g.State), Quarantine: string(g.QuarantineCause), SealedBy: string(g.SealedBy), Start: g.Start, End: g.End,
		Width: g.Width, Height: g.Height, Frames: g.Frames, Chunks: g.Chunks, CapturedBytes: g.Bytes,
		ChainEnd: g.ChainEnd.String(), ChainBroken: g.ChainBroken(),
	}
	if !g.ChainBroken() {
		s.ChainStart = g.ChainStart.String()
	}
	if g.State == catalog.SegmentArchived {
		r := g.Recording
		s.Object = &manifestObject{
			Key: r.ObjectKey, Version: r.ObjectVersion, Bytes: r.Bytes, SHA256: r.SHA256.String(), Width: r.Width, Height: r.Height,
			Frames: r.Frames, DurationSeconds: r.Duration.Seconds(), Codec: r.Codec, FFmpegVersion: r.FFmpegVersion,
			EncoderVersion: r.EncoderVersion, EncoderID: r.EncoderID,
		}
	}
	return s
}

// encode returns a document as it is archived: the same one always gives the same bytes.
func encode(document any) ([]byte, error) {
	b, err := json.MarshalIndent(document, "", "  ")
	return append(b, '\n'), err
}
