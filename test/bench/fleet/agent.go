package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	activeBytes, activeEvery = 32 << 10, time.Second
	idleBytes, idleEvery     = 1 << 10, 5 * time.Second
	syncEvery                = 5 * time.Second

	callTimeout = 20 * time.Second
	retryAfter  = 200 * time.Millisecond
	// A receipt that did not come with one Sync is asked for again.
	receiptAgain = 2 * time.Second
	receiptTries = 10
	// renewals is how many Syncs there are to one that asks for a new grant: two thirds of an hour's.
	renewals = 480
)

// agent is one desktop's agent without the desktop: one gRPC connection, one connection to the bus, one session.
type agent struct {
	fleet  *fleet
	number int
	active bool

	key     *bus.Key
	conn    *grpc.ClientConn
	client  recfleetv1.AgentServiceClient
	bus     *bus.Publisher
	session string
	event   int64
	stopped chan struct{} // closed to end the session
	over    chan struct{} // closed when run has returned

	// sending is held while a chunk is cut and published: an agent's chunks reach the bus in their order.
	sending sync.Mutex
	live    *tape
	probe   *tape // for the measurement of the bus alone
}

// start registers the session and connects to the bus.
func (f *fleet) startAgent(ctx context.Context, number int) (*agent, error) {
	a := &agent{fleet: f, number: number, active: number*f.cfg.active/100 != (number+1)*f.cfg.active/100, stopped: make(chan struct{}), over: make(chan struct{})}
	var err error
	if a.key, err = bus.NewKey(); err != nil {
		return nil, err
	}
	if a.conn, err = f.client.Dial(); err != nil {
		return nil, err
	}
	a.client = recfleetv1.NewAgentServiceClient(a.conn)
	if err := a.register(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start agent %d: %w", number, err), a.conn.Close())
	}
	return a, nil
}

func (a *agent) register(ctx context.Context) error {
	begun := time.Now()
	geometry := &recfleetv1.Geometry{Width: width, Height: height, Monitors: []*recfleetv1.Monitor{{Name: "default", Width: width, Height: height, Primary: true}}}
	answer, err := call(ctx, a, &recfleetv1.StartSessionRequest{
		RequestId: strings.ToLower(cryptorand.Text()), User: fmt.Sprintf("user%05d@example.com", a.number), Stack: "office", Fleet: "office-large",
		Instance: fmt.Sprintf("i-%017x", a.number), Metadata: metadata(a.number), StartTime: timestamppb.New(begun), Geometry: geometry,
		BusPublicKey: a.key.Public(), AgentVersion: "bench",
	}, a.client.StartSession)
	if err != nil {
		return err
	}
	a.session = answer.GetSessionId()
	a.live, a.probe = newTape(a.session, 1, begun), newTape(a.session, probeSegment, begun)
	a.bus, err = bus.DialPublisher(ctx, bus.ClientConfig{Key: a.key, Grant: bus.GrantFromProto(answer.GetBus()), Logger: hclog.NewNullLogger()})
	if err != nil {
		return err
	}
	err = a.report(ctx, &recfleetv1.Event{Time: timestamppb.New(begun), Body: &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{
		Epoch: 1, Geometry: geometry, Cause: "start",
	}}})
	if err != nil {
		return err
	}
	a.fleet.starts.add(time.Since(begun))
	return nil
}

// metadata is about what AppStream tells of a session.
func metadata(number int) map[string]string {
	return map[string]string{
		"AppStream_Stack_Name": "office", "AppStream_Resource_Name": "office-large", "AppStream_User_Access_Mode": "saml",
		"AppStream_UserName": fmt.Sprintf("user%05d@example.com", number), "AppStream_Session_ID": cryptorand.Text(),
		"AppStream_Session_Reservation_DateTime": time.Now().UTC().Format(time.RFC3339), "AppStream_Instance_Type": "stream.standard.large",
		"AppStream_Image_Arn": "arn:aws:appstream:eu-central-1:123456789012:image/office-2026-09", "AWS_REGION": "eu-central-1",
	}
}

// run records until the agent is stopped, then ends the session and returns when everything of it has its receipt.
func (a *agent) run(ctx context.Context) error {
	defer close(a.over)
	defer a.conn.Close()
	defer a.bus.Close()
	var group sync.WaitGroup
	group.Go(func() { a.capture(ctx) })
	err := a.talk(ctx)
	group.Wait()
	if err == nil && ctx.Err() == nil {
		err = a.end(ctx)
	}
	if err != nil {
		return fmt.Errorf("session %s: %w", a.session, err)
	}
	return nil
}

func (a *agent) rhythm() (bytes int, every time.Duration) {
	if a.active {
		return activeBytes, activeEvery
	}
	return idleBytes, idleEvery
}

// capture publishes a chunk whenever one is due, until the agent is stopped. One that is late is followed by the next at once.
func (a *agent) capture(ctx context.Context) {
	_, every := a.rhythm()
	due := time.Now().Add(rand.N(every))
	for a.wait(ctx, time.Until(due)) {
		if a.fleet.pace.Load() == paceOwn {
			a.fleet.due.Add(1)
			if a.send(ctx, a.live, due) == nil {
				a.fleet.acks.add(time.Since(due))
			}
		} else {
			due = time.Now()
		}
		due = due.Add(every)
	}
}

// wait returns false when the agent is stopped or ctx is done.
func (a *agent) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-a.stopped:
		return false
	case <-timer.C:
		return true
	}
}

// send cuts the next chunk of a tape and publishes it until the bus has it.
func (a *agent) send(ctx context.Context, t *tape, at time.Time) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.sendNext(ctx, t, at)
}

func (a *agent) sendNext(ctx context.Context, t *tape, at time.Time) error {
	n, _ := a.rhythm()
	from := rand.IntN(len(a.fleet.noise) - n)
	c := t.cut(a.fleet.noise[from:from+n], at)
	return again(ctx, a.fleet, func() error {
		err := a.bus.Publish(ctx, c)
		if err == nil {
			a.fleet.published.Add(1)
		}
		return err
	})
}

// again calls until it succeeds or ctx is done, and counts what did not.
func again(ctx context.Context, f *fleet, call func() error) error {
	for {
		err := call()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		f.complain(err)
		pause(ctx, retryAfter/2+rand.N(retryAfter))
	}
}

// call makes a call until it is answered.
func call[Q, A any](ctx context.Context, a *agent, request *Q, method func(context.Context, *Q, ...grpc.CallOption) (*A, error)) (answer *A, err error) {
	err = again(ctx, a.fleet, func() error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		answer, err = method(ctx, request)
		return err
	})
	return answer, err
}

// talk syncs and seals until the agent is stopped.
func (a *agent) talk(ctx context.Context) error {
	next := time.Now().Add(rand.N(syncEvery))
	// As if the sessions had begun at any time.
	seal := time.Now().Add(rand.N(a.fleet.cfg.segment))
	for {
		until := next
		if seal.Before(next) {
			until = seal
		}
		if !a.wait(ctx, time.Until(until)) {
			return ctx.Err()
		}
		now := time.Now()
		if a.fleet.pace.Load() == paceStill {
			if !now.Before(next) {
				next = next.Add(syncEvery)
			}
			if !now.Before(seal) {
				// At any time again: all that came due together would be sealed at once when it goes on.
				seal = now.Add(rand.N(a.fleet.cfg.segment))
			}
			continue
		}
		if !now.Before(seal) {
			if err := a.seal(ctx); err != nil {
				return err
			}
			seal = seal.Add(a.fleet.cfg.segment)
			next = time.Now().Add(syncEvery)
			continue
		}
		if _, err := a.sync(ctx, nil); err != nil {
			return err
		}
		next = now.Add(syncEvery)
	}
}

// seal publishes the rest of the segment, reports that it is sealed, and syncs until it has its receipt.
func (a *agent) seal(ctx context.Context) error {
	begun := time.Now()
	a.sending.Lock()
	err := a.sendNext(ctx, a.live, begun)
	s := a.live.seal(begun)
	a.sending.Unlock()
	if err != nil {
		return err
	}
	a.fleet.due.Add(1)
	a.fleet.sealed.Add(1)
	err = a.report(ctx, &recfleetv1.Event{Time: timestamppb.New(s.end), Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: &recfleetv1.SegmentSealed{
		Segment: int32(s.number), Epoch: 1, ChunkCount: int32(s.chunks), ByteCount: s.bytes, FrameCount: s.frames, Width: width, Height: height,
		StartTime: timestamppb.New(s.start), EndTime: timestamppb.New(s.end), ChainStart: s.before[:], ChainEnd: s.after[:],
	}}})
	if err != nil {
		return err
	}
	for range receiptTries {
		answer, err := a.sync(ctx, []int32{int32(s.number)})
		if err != nil {
			return err
		}
		for _, r := range answer.GetReceipts() {
			if got, err := chunk.ParseHash(r.GetChainEnd()); err != nil || r.GetSegment() != int32(s.number) || got != s.after {
				return fmt.Errorf("receipt for segment %d is not for what was sealed as %d", r.GetSegment(), s.number)
			}
			a.fleet.receipts.add(time.Since(begun))
			a.fleet.received.Add(1)
			return nil
		}
		if len(answer.GetMissing()) > 0 {
			return fmt.Errorf("chunks %v of segment %d were acknowledged and are missing", answer.GetMissing()[0].GetSeqs(), s.number)
		}
		a.fleet.complain(errors.New("a Sync gave neither receipt nor missing chunks"))
		if pause(ctx, receiptAgain); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("segment %d gets no receipt", s.number)
}

func (a *agent) report(ctx context.Context, e *recfleetv1.Event) error {
	a.event++
	e.Number = a.event
	_, err := call(ctx, a, &recfleetv1.ReportEventsRequest{SessionId: a.session, Events: []*recfleetv1.Event{e}}, a.client.ReportEvents)
	return err
}

func (a *agent) sync(ctx context.Context, awaiting []int32) (*recfleetv1.AgentServiceSyncResponse, error) {
	begun := time.Now()
	r := &recfleetv1.AgentServiceSyncRequest{
		SessionId: a.session, AwaitingReceipt: awaiting, FrameCount: int64(begun.Sub(a.fleet.begun)*frameRate/time.Second) + 1,
		LastFrameTime: timestamppb.New(begun), SpooledBytes: 1 << 20,
	}
	if rand.N(renewals) == 0 {
		r.RenewBus, r.BusPublicKey = true, a.key.Public()
	}
	answer, err := call(ctx, a, r, a.client.Sync)
	if err != nil {
		return nil, err
	}
	if len(awaiting) == 0 {
		a.fleet.syncs.add(time.Since(begun))
	}
	if answer.GetBus() != nil {
		a.bus.Renew(bus.GrantFromProto(answer.GetBus()))
	}
	return answer, nil
}

// end seals what is open and closes the books.
func (a *agent) end(ctx context.Context) error {
	if err := a.seal(ctx); err != nil {
		return err
	}
	_, err := call(ctx, a, &recfleetv1.EndSessionRequest{
		SessionId: a.session, Reason: "stopped by hook", EndTime: timestamppb.New(a.live.start), LastSegment: int32(a.live.number - 1), LastEvent: a.event,
	}, a.client.EndSession)
	if err == nil {
		a.fleet.ended.Add(1)
	}
	return err
}
