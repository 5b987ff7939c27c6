package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// slowest is how long a chunk of the honest session may take; the publisher itself gives up after 5 s.
const slowest = 10 * time.Second

// victim is an honest session that is being recorded.
type victim struct {
	*agent
	referee   *bus.Broker
	people    *grpc.ClientConn
	publisher *bus.Publisher
	stop      context.CancelFunc
	done      sync.WaitGroup

	mu    sync.Mutex
	seal  *recfleetv1.SegmentSealed
	chain chunk.Hash
	sums  []chunk.Hash
	lost  error
}

func newVictim(ctx context.Context, a *agent, referee *bus.Broker, people *grpc.ClientConn) (*victim, error) {
	publisher, err := bus.DialPublisher(ctx, bus.ClientConfig{Key: a.busKey, Grant: a.grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		return nil, err
	}
	v := &victim{agent: a, referee: referee, people: people, publisher: publisher, chain: chunk.Genesis(a.session)}
	v.seal = &recfleetv1.SegmentSealed{Segment: 1, Epoch: 1, Width: 640, Height: 480, StartTime: timestamppb.Now(), ChainStart: bytes.Clone(v.chain[:])}
	if err := v.report(ctx, 1, &recfleetv1.Event{Body: &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{
		Epoch: 1, Geometry: &recfleetv1.Geometry{Width: 640, Height: 480}, Cause: "start",
	}}}); err != nil {
		publisher.Close()
		return nil, err
	}
	ctx, v.stop = context.WithCancel(context.WithoutCancel(ctx))
	v.done.Go(func() { v.record(ctx) })
	return v, nil
}

func (v *victim) close() {
	v.stop()
	v.done.Wait()
	v.publisher.Close()
}

// record publishes and syncs until it is told to stop, or something is refused.
func (v *victim) record(ctx context.Context) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := v.next(); err != nil {
			v.mu.Lock()
			v.lost = err
			v.mu.Unlock()
			return
		}
	}
}

func (v *victim) next() error {
	ctx, cancel := context.WithTimeout(context.Background(), slowest)
	defer cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	seq := len(v.sums)
	payload := fmt.Appendf(nil, "%s/%d", v.session, seq)
	sum := chunk.Sum(payload)
	start := v.seal.GetStartTime().AsTime()
	c := chunk.Chunk{
		Session: v.session, Segment: 1, Seq: seq, Epoch: 1, Offset: v.seal.GetByteCount(), Sum: sum, Chain: v.chain.Next(sum), Frames: int64(seq + 1),
		Start: start, LastFrame: time.Now(), Width: 640, Height: 480, Bytes: len(payload), Payload: payload,
	}
	if err := v.publisher.Publish(ctx, c); err != nil {
		return fmt.Errorf("chunk %d: %w", seq, err)
	}
	v.chain = c.Chain
	v.sums = append(v.sums, sum)
	v.seal.ChunkCount, v.seal.FrameCount = v.seal.GetChunkCount()+1, v.seal.GetFrameCount()+1
	v.seal.ByteCount += int64(len(payload))
	if seq%20 != 0 {
		return nil
	}
	got, err := v.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: v.session, FrameCount: v.seal.GetFrameCount()})
	if err == nil && got.GetStop() != nil {
		err = errors.New("it was ordered to stop")
	}
	return err
}

func (v *victim) report(ctx context.Context, number int64, e *recfleetv1.Event) error {
	e.Number, e.Time = number, timestamppb.Now()
	_, err := v.rpc().ReportEvents(ctx, &recfleetv1.ReportEventsRequest{SessionId: v.session, Events: []*recfleetv1.Event{e}})
	return err
}

func (v *victim) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.sums)
}

// intact compares what the bus has with what was acknowledged, after another chunk has gone through.
func (v *victim) intact(ctx context.Context) error {
	before, deadline := v.count(), time.Now().Add(slowest)
	for v.count() == before {
		v.mu.Lock()
		lost := v.lost
		v.mu.Unlock()
		switch {
		case lost != nil:
			return fmt.Errorf("the honest session was stopped: %w", lost)
		case time.Now().After(deadline) || ctx.Err() != nil:
			return errors.New("the honest session does not go on")
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	v.mu.Lock()
	sums := v.sums
	v.mu.Unlock()
	held, err := v.referee.Headers(ctx, v.session, 1)
	if err != nil {
		return fmt.Errorf("the bus cannot be asked: %w", err)
	}
	if len(held) < len(sums) {
		return fmt.Errorf("the bus has %d of %d chunks of the honest session", len(held), len(sums))
	}
	for i, sum := range sums {
		if held[i].Seq != i || held[i].Sum != sum {
			return fmt.Errorf("chunk %d of the honest session is another one", i)
		}
	}
	return nil
}

// end ends the honest session and checks that everything of it is in the server's custody.
func (v *victim) end(ctx context.Context) error {
	v.stop()
	v.done.Wait()
	v.seal.ChainEnd = bytes.Clone(v.chain[:])
	v.seal.EndTime = timestamppb.Now()
	if err := v.report(ctx, 2, &recfleetv1.Event{Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: v.seal}}); err != nil {
		return err
	}
	got, err := v.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: v.session, FrameCount: 1, AwaitingReceipt: []int32{1}})
	if err != nil {
		return err
	}
	if r := got.GetReceipts(); len(r) != 1 || !bytes.Equal(r[0].GetChainEnd(), v.chain[:]) {
		return fmt.Errorf("no receipt: %v", got)
	}
	if _, err := v.rpc().EndSession(ctx, &recfleetv1.EndSessionRequest{
		SessionId: v.session, Reason: "ended", EndTime: v.seal.GetEndTime(), LastSegment: 1, LastEvent: 2,
	}); err != nil {
		return err
	}
	seen, err := recfleetv1.NewSessionServiceClient(v.people).GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: v.session})
	if err != nil {
		return err
	}
	s := seen.GetSession()
	if len(s.GetGaps()) > 0 || s.GetStopReason() != "" || len(s.GetSegments()) != 1 || int(s.GetSegments()[0].GetChunkCount()) != len(v.sums) {
		return fmt.Errorf("the catalog has %d segments, %d gaps, stop %q", len(s.GetSegments()), len(s.GetGaps()), s.GetStopReason())
	}
	return nil
}

// slowestSync syncs as an agent does until the channel is closed, and returns how long the slowest answer took.
func (v *victim) slowestSync(ctx context.Context, until <-chan struct{}) (slowest time.Duration, err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		v.mu.Lock()
		frames := v.seal.GetFrameCount()
		v.mu.Unlock()
		begin := time.Now()
		if _, err := v.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: v.session, FrameCount: frames}); err != nil {
			return slowest, fmt.Errorf("the honest agent was not answered: %w", err)
		}
		slowest = max(slowest, time.Since(begin))
		select {
		case <-until:
			return slowest, nil
		case <-tick.C:
		}
	}
}
