package encoder

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// A lease is refused or is a job that can be worked on: the worker makes files and arguments of it.
func FuzzLease(f *testing.F) {
	sum := chunk.Sum(nil)
	raw, err := proto.Marshal(&recfleetv1.Lease{
		JobId: "a1.1", Generation: 3, Duration: durationpb.New(time.Minute), ObjectKey: "k/000001.mp4",
		Source: &recfleetv1.SegmentSource{
			SessionId: "a1", Segment: 1, ChunkCount: 2, ByteCount: 10, FrameCount: 3, Width: 64, Height: 48, StartTime: timestamppb.Now(),
			Duration: durationpb.New(time.Second), ChainStart: sum[:], ChainEnd: sum[:],
		},
		Settings: &recfleetv1.EncodeSettings{FrameRate: 5, Preset: "veryfast", Crf: 23, KeyframeInterval: durationpb.New(2 * time.Second)},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l recfleetv1.Lease
		if proto.Unmarshal(raw, &l) != nil {
			return
		}
		if leaseDuration(&l) <= 0 {
			t.Errorf("lasts %v", leaseDuration(&l))
		}
		job, err := jobFromProto(&l)
		if err != nil || job.Validate() != nil {
			return
		}
		s := job.Source
		if !chunk.ValidSession(s.Session) || s.Segment < 1 || s.Chunks < 1 || s.Bytes < 1 || s.Frames < 1 || s.Width < 1 || s.Height < 1 || s.Duration <= 0 || job.ObjectKey == "" {
			t.Errorf("%+v is a job", job)
		}
	})
}
