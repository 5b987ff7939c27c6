package finish

import (
	"encoding/json"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/videosize"
)

// metadata is the content of metadata.json. Its first eight fields are those that session recorders on AppStream write;
// they are there also where they are empty. The rest is ours.
type metadata struct {
	StackName                  string `json:"StackName"`
	UserAccessMode             string `json:"UserAccessMode"`
	SessionReservationDateTime string `json:"SessionReservationDateTime"`
	UserName                   string `json:"UserName"`
	SessionID                  string `json:"SessionId"`
	ImageArn                   string `json:"ImageArn"`
	InstanceType               string `json:"InstanceType"`
	FleetName                  string `json:"FleetName"`

	RecordingID  string           `json:"recording_id"`
	Instance     string           `json:"instance,omitempty"`
	AgentVersion string           `json:"agent_version,omitempty"`
	Start        time.Time        `json:"start_time"`
	End          time.Time        `json:"end_time"`
	Epochs       []manifest.Epoch `json:"epochs"`
	// MonitorChanges are those within an epoch: the desktop's size stayed.
	MonitorChanges []monitorChange   `json:"monitor_changes,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
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

func epochsOf(d catalog.Detail) []manifest.Epoch {
	epochs := make([]manifest.Epoch, 0, len(d.Epochs))
	for _, e := range d.Epochs {
		epochs = append(epochs, manifest.Epoch{Number: e.Number, Start: e.Start, Geometry: geometryOf(e.Geometry), Cause: e.Cause})
	}
	return epochs
}

func geometryOf(g catalog.Geometry) manifest.Geometry {
	out := manifest.Geometry{Width: g.Width, Height: g.Height}
	for _, m := range g.Monitors {
		out.Monitors = append(out.Monitors, manifest.Monitor(m))
	}
	return out
}

func manifestOf(d catalog.Detail, state catalog.SessionState, reason string) manifest.Manifest {
	s := d.Session
	m := manifest.Manifest{Format: manifest.Format, Version: manifest.Version, Epochs: epochsOf(d), Segments: []manifest.Segment{}, Gaps: []manifest.Gap{}}
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
		m.Segments = append(m.Segments, segmentOf(g, s.Policy.Encode))
	}
	for _, g := range d.Gaps {
		m.MissingSeconds += g.End.Sub(g.Start).Seconds()
		m.Gaps = append(m.Gaps, manifest.Gap(g))
	}
	return m
}

func segmentOf(g catalog.Segment, e catalog.Encode) manifest.Segment {
	s := manifest.Segment{
		Number: g.Segment, Epoch: g.Epoch, State: string(g.State), Quarantine: string(g.QuarantineCause), SealedBy: string(g.SealedBy), Start: g.Start, End: g.End,
		Width: g.Width, Height: g.Height, Frames: g.Frames, Chunks: g.Chunks, CapturedBytes: g.Bytes,
		ChainEnd: g.ChainEnd.String(), ChainBroken: g.ChainBroken(),
	}
	if !g.ChainBroken() {
		s.ChainStart = g.ChainStart.String()
	}
	if g.State == catalog.SegmentArchived {
		r := g.Recording
		_, _, scaled := videosize.Fit(g.Width, g.Height, e.MaxWidth, e.MaxHeight)
		s.Object = &manifest.Object{
			Key: r.ObjectKey, Version: r.ObjectVersion, Bytes: r.Bytes, SHA256: r.SHA256.String(), Width: r.Width, Height: r.Height,
			Scaled: string(scaled), Frames: r.Frames, DurationSeconds: r.Duration.Seconds(), Codec: r.Codec, FFmpegVersion: r.FFmpegVersion,
			EncoderVersion: r.EncoderVersion, EncoderID: r.EncoderID,
		}
		if t := r.Thumbnails; t != (catalog.Thumbnails{}) {
			s.Object.Thumbnails = &manifest.Thumbnails{Sprite: fileOf(t.Sprite), Index: fileOf(t.Index)}
		}
	}
	return s
}

func fileOf(o catalog.Object) manifest.File {
	return manifest.File{Key: o.Key, Version: o.Version, Bytes: o.Bytes, SHA256: o.SHA256.String()}
}

// encode returns a document as it is archived: the same one always gives the same bytes.
func encode(document any) ([]byte, error) {
	b, err := json.MarshalIndent(document, "", "  ")
	return append(b, '\n'), err
}
