package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// How much is poured out: enough to be felt, little enough for a small machine.
const (
	floodJoins   = 300
	floodChunks  = 3000
	floodConns   = 60
	floodSyncs   = 5000
	floodWorkers = 8
	// floodPatience is how long an honest agent's Sync may take meanwhile.
	floodPatience = time.Second
)

func (s *stage) floods() []trick {
	return []trick{
		{"a flood of joins", func(ctx context.Context) (string, bool, error) {
			rpc := recfleetv1.NewEnrollmentServiceClient(s.attacker.conn)
			var joined atomic.Int64
			pour(floodJoins, func() {
				begun, err := rpc.BeginEnroll(ctx, &recfleetv1.BeginEnrollRequest{})
				if err != nil {
					return
				}
				public, private, err := ed25519.GenerateKey(nil)
				if err != nil {
					return
				}
				if _, err := rpc.Enroll(ctx, &recfleetv1.EnrollRequest{
					Token: s.attacker.token, Nonce: begun.GetNonce(), PublicKey: public, Machine: "x",
					Signature: ed25519.Sign(private, identity.EnrollProof(begun.GetNonce(), public, "x")),
				}); err == nil {
					joined.Add(1)
				}
			})
			return fmt.Sprintf("%d tried, %d let in", floodJoins, joined.Load()), joined.Load() > 0, nil
		}},
		s.onBus("a flood of tiny chunks", func(_ context.Context, c *nats.Conn, _ *atomic.Int64) (string, bool, error) {
			for i := range floodChunks {
				if err := c.Publish(fmt.Sprintf("chunks.%s.9.%d", s.attacker.session, i), []byte{1}); err != nil {
					return "cut off: " + err.Error(), false, nil //nolint:nilerr // it is the outcome
				}
			}
			_ = c.FlushTimeout(dialTime)
			return fmt.Sprintf("%d sent", floodChunks), false, nil
		}),
		{"a flood of connections", func(context.Context) (string, bool, error) {
			var refused atomic.Int64
			var mu sync.Mutex
			var open []*nats.Conn
			pour(floodConns, func() {
				if c, err := s.attacker.connect(s.attacker.grant.JWT, s.attacker.pair, &refused); err == nil {
					mu.Lock()
					open = append(open, c)
					mu.Unlock()
				}
			})
			for _, c := range open {
				c.Close()
			}
			return fmt.Sprintf("%d of %d opened", len(open), floodConns), false, nil
		}},
		{"a flood of calls", func(ctx context.Context) (string, bool, error) {
			var served, held atomic.Int64
			flooding := make(chan struct{})
			var slowest time.Duration
			var honest error
			var both sync.WaitGroup
			both.Go(func() { slowest, honest = s.victim.slowestSync(ctx, flooding) })
			pour(floodSyncs, func() {
				_, err := s.attacker.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: s.attacker.session, AwaitingReceipt: []int32{9}})
				switch status.Code(err) {
				case codes.OK:
					served.Add(1)
				case codes.ResourceExhausted:
					held.Add(1)
				}
			})
			close(flooding)
			both.Wait()
			outcome := fmt.Sprintf("%d of %d served, %d told to wait; the honest agent waited %s at most", served.Load(), floodSyncs, held.Load(), slowest.Round(time.Millisecond))
			harm := slowest > floodPatience || held.Load() == 0
			if honest != nil {
				outcome, harm = outcome+"; "+honest.Error(), true
			}
			return outcome, harm, nil
		}},
	}
}

// pour does something many times, several at a time.
func pour(times int, do func()) {
	var left atomic.Int64
	left.Store(int64(times))
	var all sync.WaitGroup
	for range floodWorkers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				do()
			}
		})
	}
	all.Wait()
}

// forge makes a certificate with an authority of one's own.
func forge(key ed25519.PublicKey, id string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "hostile-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	authority, err := identity.OpenAuthority(dir)
	if err != nil {
		return nil, err
	}
	return authority.AgentCertificate(key, id)
}
