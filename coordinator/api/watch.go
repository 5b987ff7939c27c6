package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	// watchEvery is how often a watch looks for what has changed; where looking takes long it looks more seldom.
	watchEvery = time.Second
	// watchShare is how much of its time a watch may keep the catalog busy, as one of so many parts.
	watchShare = 20
	// maxWatched is how many sessions one call may watch, and maxWatches how many calls may do so at once.
	maxWatched = 5000
	maxWatches = 100
)

var (
	errTooMany = errors.New("too many calls watch sessions")
	errClosing = errors.New("the server is closing")
)

// watches counts the calls that watch.
type watches struct{ n atomic.Int64 }

// WatchSessions sends sessions as they change. Every coordinator changes sessions, so that what the catalog says is compared
// with what was sent.
func (s *sessionService) WatchSessions(r *recfleetv1.WatchSessionsRequest, stream grpc.ServerStreamingServer[recfleetv1.WatchSessionsResponse]) error {
	f := r.GetFilter()
	if f == nil {
		f = &recfleetv1.ListSessionsRequest{}
	}
	f.PageSize, f.PageToken = 0, ""
	if err := checkList(f); err != nil {
		return err
	}
	if s.watches.n.Add(1) > maxWatches {
		s.watches.n.Add(-1)
		return errTooMany
	}
	defer s.watches.n.Add(-1)
	w := watched{catalog: s.catalog, filter: filterFromProto(f), sent: map[string]seen{}, send: stream.Send}
	for {
		began := time.Now()
		w.filter.Scope = access.Visible(stream.Context())
		if err := w.look(stream.Context()); err != nil {
			return err
		}
		again := time.NewTimer(max(watchEvery, watchShare*time.Since(began)))
		select {
		case <-stream.Context().Done():
			again.Stop()
			return stream.Context().Err()
		case <-s.closing:
			again.Stop()
			return status.Error(codes.Unavailable, errClosing.Error())
		case <-again.C:
		}
	}
}

// watched is what one call has sent.
type watched struct {
	catalog *catalog.Catalog
	filter  catalog.Filter
	sent    map[string]seen
	round   int
	send    func(*recfleetv1.WatchSessionsResponse) error
}

// seen is how a session was sent last, and when it last matched.
type seen struct {
	sum   [sha256.Size]byte
	round int
}

// look sends what has changed since the last look.
func (w *watched) look(ctx context.Context) error {
	w.round++
	for token, more := "", true; more; more = token != "" {
		page, next, err := w.catalog.ListSessions(ctx, w.filter, maxPage, token)
		if err != nil {
			return err
		}
		for _, one := range page {
			if err := w.note(sessionToProto(one)); err != nil {
				return err
			}
		}
		token = next
	}
	for id, s := range w.sent {
		if s.round == w.round {
			continue
		}
		delete(w.sent, id)
		if err := w.send(&recfleetv1.WatchSessionsResponse{Session: &recfleetv1.Session{Id: id}, Gone: true}); err != nil {
			return err
		}
	}
	return nil
}

func (w *watched) note(s *recfleetv1.Session) error {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return fmt.Errorf("watch session %s: %w", s.GetId(), err)
	}
	now := seen{sha256.Sum256(raw), w.round}
	before, known := w.sent[s.GetId()]
	if !known && len(w.sent) >= maxWatched {
		return wrong("filter", "matches more than %d sessions", maxWatched)
	}
	w.sent[s.GetId()] = now
	if known && before.sum == now.sum {
		return nil
	}
	return w.send(&recfleetv1.WatchSessionsResponse{Session: s})
}
