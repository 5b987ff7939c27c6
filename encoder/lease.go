package encoder

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/encoder/worker"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// jobFromProto converts a lease from the wire. It fails on what cannot be converted; worker.Job.Validate judges the rest.
func jobFromProto(l *recfleetv1.Lease) (worker.Job, error) {
	s, e := l.GetSource(), l.GetSettings()
	start, err := chunk.ParseHash(s.GetChainStart())
	if err != nil {
		return worker.Job{}, fmt.Errorf("read lease: chain_start: %w", err)
	}
	end, err := chunk.ParseHash(s.GetChainEnd())
	if err != nil {
		return worker.Job{}, fmt.Errorf("read lease: chain_end: %w", err)
	}
	return worker.Job{
		Generation: l.GetGeneration(),
		Source: worker.Source{
			Session: s.GetSessionId(), Segment: int(s.GetSegment()),
			Chunks: int(s.GetChunkCount()), Bytes: s.GetByteCount(), Frames: s.GetFrameCount(),
			Width: int(s.GetWidth()), Height: int(s.GetHeight()),
			Start: s.GetStartTime().AsTime(), Duration: s.GetDuration().AsDuration(),
			ChainStart: start, ChainEnd: end,
		},
		Settings: worker.Settings{
			FrameRate: int(e.GetFrameRate()), Preset: e.GetPreset(), CRF: int(e.GetCrf()),
			KeyframeInterval: e.GetKeyframeInterval().AsDuration(), Bitrate: e.GetBitrate(), MaxFrameRate: int(e.GetMaxFrameRate()),
			MaxWidth: int(e.GetMaxWidth()), MaxHeight: int(e.GetMaxHeight()), ThumbnailInterval: e.GetThumbnailInterval().AsDuration(),
		},
		ObjectKey: l.GetObjectKey(), SpriteKey: l.GetSpriteKey(), ThumbnailIndexKey: l.GetThumbnailIndexKey(),
	}, nil
}

func causeToProto(c worker.Cause) recfleetv1.FailureCause {
	switch c {
	case worker.Content:
		return recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT
	case worker.Destination:
		return recfleetv1.FailureCause_FAILURE_CAUSE_DESTINATION
	}
	return recfleetv1.FailureCause_FAILURE_CAUSE_ENCODER
}

func resultToProto(h *held, r worker.Result) *recfleetv1.CompleteJobRequest {
	var thumbnails *recfleetv1.Thumbnails
	if r.Sprite.Key != "" {
		thumbnails = &recfleetv1.Thumbnails{Sprite: fileToProto(r.Sprite), Index: fileToProto(r.ThumbnailIndex)}
	}
	return &recfleetv1.CompleteJobRequest{
		Thumbnails: thumbnails,
		JobId:      h.id, Generation: h.generation, ObjectKey: h.objectKey,
		Bytes: r.Bytes, Sha256: r.SHA256[:], CapturedFrameCount: r.Captured, FrameCount: r.Frames, Duration: durationpb.New(r.Duration),
		Width: int32(r.Width), Height: int32(r.Height), Codec: "libx264", ObjectVersion: r.ObjectVersion,
	}
}

func fileToProto(f worker.File) *recfleetv1.ArchivedObject {
	return &recfleetv1.ArchivedObject{ObjectKey: f.Key, Bytes: f.Bytes, Sha256: f.SHA256[:], ObjectVersion: f.Version}
}

// leaseDuration is how long a lease lasts from the answer that granted it.
func leaseDuration(l *recfleetv1.Lease) time.Duration {
	if d := l.GetDuration().AsDuration(); d > 0 {
		return d
	}
	return defaultLease
}
