package session

import (
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/agent/spool"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// eventProto converts an event for the wire. A seal gets the segment's place in the hash chain.
func (s *Session) eventProto(e spool.Event) (*recfleetv1.Event, error) {
	m := &recfleetv1.Event{Number: e.Number, Time: timestamppb.New(e.Time)}
	switch {
	case e.EpochStarted != nil:
		b := e.EpochStarted
		m.Body = &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{
			Epoch: int32(b.Epoch), Geometry: geometryProto(b.Geometry), Cause: b.Cause,
		}}
	case e.SegmentSealed != nil:
		b := e.SegmentSealed
		start, end, err := s.cfg.Spool.Chain(b.Segment)
		if err != nil {
			return nil, err
		}
		m.Body = &recfleetv1.Event_SegmentSealed{SegmentSealed: &recfleetv1.SegmentSealed{
			Segment: int32(b.Segment), Epoch: int32(b.Epoch), ChunkCount: int32(b.Chunks), ByteCount: b.Bytes, FrameCount: b.Frames,
			StartTime: timestamppb.New(b.Start), EndTime: timestamppb.New(b.End), Width: int32(b.Width), Height: int32(b.Height),
			ChainStart: start[:], ChainEnd: end[:],
		}}
	case e.GapDeclared != nil:
		b := e.GapDeclared
		m.Body = &recfleetv1.Event_GapDeclared{GapDeclared: &recfleetv1.GapDeclared{
			StartTime: timestamppb.New(b.Start), EndTime: timestamppb.New(b.End), Cause: b.Cause, Detail: b.Detail,
		}}
	case e.MetadataChanged != nil:
		m.Body = &recfleetv1.Event_MetadataChanged{MetadataChanged: &recfleetv1.MetadataChanged{Metadata: e.MetadataChanged}}
	case e.MonitorsChanged != nil:
		m.Body = &recfleetv1.Event_MonitorsChanged{MonitorsChanged: &recfleetv1.MonitorsChanged{Geometry: geometryProto(*e.MonitorsChanged)}}
	default:
		return nil, errors.New("convert event: it has no body")
	}
	return m, nil
}

func geometryProto(g spool.Geometry) *recfleetv1.Geometry {
	m := &recfleetv1.Geometry{Width: int32(g.Width), Height: int32(g.Height)}
	for _, o := range g.Monitors {
		m.Monitors = append(m.Monitors, &recfleetv1.Monitor{
			Name: o.Name, X: int32(o.X), Y: int32(o.Y), Width: int32(o.Width), Height: int32(o.Height), Primary: o.Primary,
		})
	}
	return m
}
