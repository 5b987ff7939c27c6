package main

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	slots = 16
	// mp4Bytes is the size of what stands for an mp4.
	mp4Bytes = 4 << 10
)

// encoder does jobs without encoding: it leases them, puts a small object where the mp4 would go, and reports it. It reads no
// chunks.
type encoder struct {
	fleet  *fleet
	id     string
	client recfleetv1.EncoderServiceClient
	store  object.Store
}

// run does jobs until ctx is done.
func (e *encoder) run(ctx context.Context) error {
	e.id = strings.ToLower(cryptorand.Text())
	for ctx.Err() == nil {
		answer, err := e.client.Sync(ctx, &recfleetv1.EncoderServiceSyncRequest{
			EncoderId: e.id, Host: "bench", Version: "bench", FreeSlots: slots, MaxWait: durationpb.New(10 * time.Second),
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if err != nil {
			return fmt.Errorf("encoder: %w", err)
		}
		var group errgroup.Group
		for _, l := range answer.GetGranted() {
			group.Go(func() error { return e.work(context.WithoutCancel(ctx), l) })
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("encoder: %w", err)
		}
	}
	return nil
}

func (e *encoder) work(ctx context.Context, l *recfleetv1.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	video := bytes.Repeat([]byte(l.GetJobId()+"\n"), mp4Bytes/(len(l.GetJobId())+1))
	sum := sha256.Sum256(video)
	if _, err := e.store.Put(ctx, l.GetObjectKey(), bytes.NewReader(video), object.PutOptions{ContentType: "video/mp4", SHA256: sum}); err != nil {
		return err
	}
	s := l.GetSource()
	_, err := e.client.CompleteJob(ctx, &recfleetv1.CompleteJobRequest{
		JobId: l.GetJobId(), Generation: l.GetGeneration(), ObjectKey: l.GetObjectKey(), Bytes: int64(len(video)), Sha256: sum[:],
		FrameCount: s.GetFrameCount(), Duration: s.GetDuration(), Width: s.GetWidth(), Height: s.GetHeight(), Codec: "libx264",
		FfmpegVersion: "bench", EncoderVersion: "bench", EncoderId: e.id,
	})
	if err == nil {
		e.fleet.archived.Add(1)
	}
	return err
}
