// Package sessions leads a session from its start to its end.
//
// What comes in is what agents say, checked for form by the caller; what goes out are orders to them: settings, rights on
// the bus, receipts, stops. What always holds: one request id makes one session; a session has a stream on the bus before
// its agent has the right to publish; what policy says is asked once, when a session begins, and kept with it; the agent of a
// session that was given up for lost gets no more orders.
package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ingest"
	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/object"
)

// receiptsAtOnce bounds the segments that one Sync looks at; an agent with more of them repeats the rest.
const receiptsAtOnce = 8

var (
	// ErrNoSpace says that a new session is refused because the server's disk is nearly full.
	ErrNoSpace = errors.New("the server has too little free disk space to record")
	// ErrBus says that the bus did not do its part; it may the next time.
	ErrBus = errors.New("the bus is not available")
)

// Bus holds the streams and hands out rights; see bus.Broker.
type Bus interface {
	CreateSession(ctx context.Context, session string, maxBytes int64) error
	GrantAgent(publicKey, session string) (bus.Grant, error)
}

// Ingest takes custody of segments; see ingest.Ingest.
type Ingest interface {
	Take(ctx context.Context, session string, segment int) (ingest.Outcome, error)
}

// Settings is how new sessions are recorded.
type Settings struct {
	FrameRate     int
	SegmentLength time.Duration
	SegmentBytes  int64
	Template      object.Template
	SyncEvery     time.Duration // how often agents are to call
}

// Config is what Sessions needs.
type Config struct {
	Catalog  *catalog.Catalog
	Bus      Bus
	Ingest   Ingest
	Settings Settings
	// Policy returns the policy that holds now; nil, and a nil policy, record everything as Settings say.
	Policy func() *policy.Policy
	// Allowed returns nil where an enrolled agent may record for a stack and fleet, Granting notes the key by which the bus will know
	// one. They may be nil where no agent is enrolled.
	Allowed  func(ctx context.Context, agent, stack, fleet string) error
	Granting func(ctx context.Context, agent, busKey string) error
	// Space returns an error that is ErrNoSpace when no new session is to start.
	Space func() error
	// Seen is called with every sign of life of a session's agent.
	Seen func(session string)
	// Synced, where it is set, is called with how a session's agent stands.
	Synced func(session string, b Beat)
	// Ended is called after the books of a session were closed.
	Ended  func()
	Logger hclog.Logger
}

// Sessions leads sessions. It is safe for concurrent use.
type Sessions struct{ cfg Config }

// New returns Sessions.
func New(cfg Config) *Sessions { return &Sessions{cfg} }

// Start is a desktop that is to be recorded.
type Start struct {
	RequestID                    string
	User, Stack, Fleet, Instance string
	Metadata                     map[string]string
	Time                         time.Time
	BusPublicKey                 string
	AgentVersion                 string
	Caller                       string // who asks, for the audit
	Agent                        string // the enrolled agent that asks; empty where it shares a token
}

// Start registers a session and gives its agent the right to publish. Idempotent by request id. ErrNoSpace refuses it, a
// NotRecorded says that policy does, catalog.ErrEnded says that the session of this request id is over, ErrBus that it is to be tried again.
func (s *Sessions) Start(ctx context.Context, start Start) (catalog.Session, bus.Grant, error) {
	if start.Agent != "" {
		if err := s.cfg.Allowed(ctx, start.Agent, start.Stack, start.Fleet); err != nil {
			return catalog.Session{}, bus.Grant{}, fmt.Errorf("start session: %w", err)
		}
		start.RequestID = start.Agent + "." + start.RequestID // what one agent asks for is none of another's
	}
	session, err := s.cfg.Catalog.SessionByRequest(ctx, start.RequestID)
	if errors.Is(err, catalog.ErrNotFound) {
		session, err = s.create(ctx, start)
	}
	if err != nil {
		return catalog.Session{}, bus.Grant{}, err
	}
	if session.State == catalog.SessionRefused {
		return catalog.Session{}, bus.Grant{}, &NotRecorded{
			Session: session.ID, Reason: session.StateReason, Rule: session.Policy.Rule, Hash: session.Policy.Hash,
		}
	}
	if !session.State.Capturing() {
		return catalog.Session{}, bus.Grant{}, fmt.Errorf("start session %s: %w", session.ID, catalog.ErrEnded)
	}
	s.cfg.Seen(session.ID)
	grant, err := s.grant(ctx, start.Agent, start.BusPublicKey, session.ID)
	if err != nil {
		return catalog.Session{}, bus.Grant{}, fmt.Errorf("start session %s: %w", session.ID, err)
	}
	if err := s.cfg.Bus.CreateSession(ctx, session.ID, 0); err != nil {
		return catalog.Session{}, bus.Grant{}, fmt.Errorf("%w: %w", ErrBus, err)
	}
	return session, grant, nil
}

func (s *Sessions) create(ctx context.Context, start Start) (catalog.Session, error) {
	decision := s.decide(start)
	state := catalog.SessionStarting
	if !decision.Record {
		state = catalog.SessionRefused
	} else if err := s.cfg.Space(); err != nil {
		s.cfg.Logger.Error("session refused", "user", start.User, "instance", start.Instance, "reason", err.Error())
		return catalog.Session{}, err
	}
	id, now := strings.ToLower(rand.Text()), time.Now()
	prefix, err := s.cfg.Settings.Template.Expand(variables(id, start, now))
	if err != nil {
		return catalog.Session{}, fmt.Errorf("start session: %w", err)
	}
	if err := s.audit(ctx, id, start, decision); err != nil {
		return catalog.Session{}, err
	}
	session, created, err := s.cfg.Catalog.CreateSession(ctx, catalog.Session{
		ID: id, RequestID: start.RequestID, State: state, StateReason: decision.Reason, User: start.User, Stack: start.Stack, Fleet: start.Fleet, Instance: start.Instance, Groups: s.groups(start),
		Metadata: start.Metadata, AgentVersion: start.AgentVersion, Agent: start.Agent, ArchivePrefix: prefix,
		FrameRate: decision.FrameRate, SegmentLength: decision.SegmentLength,
		SegmentBytes: s.cfg.Settings.SegmentBytes, Policy: kept(decision), Pool: decision.Pool, Start: start.Time, Created: now,
	})
	if err == nil && created {
		s.announce(session)
	}
	return session, err
}

// variables are the values for the archive's template.
func variables(id string, start Start, now time.Time) map[string]string {
	const timestamp, day = "2006-01-02 15:04:05.000000", "2006-01-02"
	vars := map[string]string{
		"session_id": id, "kasm_id": id, "username": start.User, "user_id": start.User, "stack": start.Stack, "fleet": start.Fleet,
		"instance": start.Instance, "start_timestamp": start.Time.UTC().Format(timestamp), "start_date": start.Time.UTC().Format(day),
		"created_timestamp": now.UTC().Format(timestamp), "created_date": now.UTC().Format(day),
		"current_epoch": strconv.FormatInt(now.UnixMilli(), 10),
	}
	for name, source := range map[string]string{
		"app_session_id": "AppStream_Session_ID", "user_access_mode": "AppStream_User_Access_Mode", "access_mode": "AppStream_User_Access_Mode",
		"reservation_time": "AppStream_Session_Reservation_DateTime", "instance_type": "AppStream_Instance_Type",
		"image_arn": "AppStream_Image_Arn", "image_id": "AppStream_Image_Arn", "region": "AWS_REGION",
	} {
		vars[name] = start.Metadata[source]
	}
	for _, name := range object.Variables() {
		if v := start.Metadata[name]; v != "" && vars[name] == "" {
			vars[name] = v
		}
	}
	return vars
}

// Report adds events to a session and returns the number up to which every event is known. Errors as of
// catalog.AppendEvents.
func (s *Sessions) Report(ctx context.Context, id string, events []catalog.Event) (int64, error) {
	known, err := s.cfg.Catalog.AppendEvents(ctx, id, events)
	if err == nil {
		s.cfg.Seen(id)
	}
	return known, err
}

// Beat is how an agent stands.
type Beat struct {
	Frames       int64
	Idle         time.Duration // since the user's last input
	IdleKnown    bool
	Awaiting     []int  // segments without a receipt
	BusPublicKey string // set to ask for a new grant
	Agent        string // as in Start
}

// Orders is what an agent is to do.
type Orders struct {
	Receipts     []ingest.Receipt
	Missing      map[int][]int // chunks by segment
	Stop         string        // the reason; empty where the agent is to go on
	Bus          *bus.Grant
	Acknowledged int64
	NextSync     time.Duration
}

// Sync notes that the agent lives and returns its orders. Idempotent. catalog.ErrEnded where the agent was given up for
// lost.
func (s *Sessions) Sync(ctx context.Context, id string, b Beat) (Orders, error) {
	session, err := s.cfg.Catalog.Standing(ctx, id)
	if err != nil {
		return Orders{}, err
	}
	if session.EndedBy == catalog.PartyCoordinator {
		return Orders{}, fmt.Errorf("sync session %s: %w", id, catalog.ErrEnded)
	}
	s.cfg.Seen(id)
	if s.cfg.Synced != nil {
		s.cfg.Synced(id, b)
	}
	if b.Frames > 0 && session.State == catalog.SessionStarting {
		if err := s.cfg.Catalog.MarkRecording(ctx, id); err != nil {
			return Orders{}, err
		}
	}
	orders := Orders{Missing: map[int][]int{}, Acknowledged: session.LastEvent, NextSync: s.cfg.Settings.SyncEvery}
	if session.State.Capturing() {
		orders.Stop = session.StopReason
	}
	if b.BusPublicKey != "" && !session.State.Final() {
		grant, err := s.grant(ctx, b.Agent, b.BusPublicKey, id)
		if err != nil {
			return Orders{}, fmt.Errorf("sync session %s: %w", id, err)
		}
		orders.Bus = &grant
	}
	s.take(ctx, id, b.Awaiting, &orders)
	return orders, ctx.Err()
}

// grant lets an agent publish. The key is known before the right is there, so that it can be taken away.
func (s *Sessions) grant(ctx context.Context, agent, busKey, session string) (bus.Grant, error) {
	if agent != "" {
		if err := s.cfg.Granting(ctx, agent, busKey); err != nil {
			return bus.Grant{}, err
		}
	}
	return s.cfg.Bus.GrantAgent(busKey, session)
}

// take asks for custody of segments, the first ones first. What cannot be said now is said at a later Sync.
func (s *Sessions) take(ctx context.Context, id string, awaiting []int, orders *Orders) {
	segments := slices.Compact(slices.Sorted(slices.Values(awaiting)))
	for _, n := range segments[:min(len(segments), receiptsAtOnce)] {
		outcome, err := s.cfg.Ingest.Take(ctx, id, n)
		switch {
		case errors.Is(err, ingest.ErrFork), errors.Is(err, catalog.ErrConflict):
			s.cfg.Logger.Error("chunk fork seen", "session_id", id, "segment", n, "error", err)
		case err != nil:
			s.cfg.Logger.Warn("receipt was put off", "session_id", id, "segment", n, "error", err)
		case outcome.Receipt != nil:
			orders.Receipts = append(orders.Receipts, *outcome.Receipt)
		case len(outcome.Missing) > 0:
			orders.Missing[n] = outcome.Missing
		}
	}
}

// End closes the books of a session. Errors as of catalog.EndSession.
func (s *Sessions) End(ctx context.Context, id string, end catalog.End) error {
	if err := s.cfg.Catalog.EndSession(ctx, id, end); err != nil {
		return err
	}
	s.cfg.Seen(id)
	s.cfg.Logger.Info("session ended", "session_id", id, "reason", end.Reason, "segments", end.LastSegment)
	s.cfg.Ended()
	return nil
}

// Stop orders the agent to stop recording and returns the session as it is then.
func (s *Sessions) Stop(ctx context.Context, id, reason string) (catalog.Session, error) {
	if err := s.cfg.Catalog.StopSession(ctx, id, reason); err != nil {
		return catalog.Session{}, err
	}
	s.cfg.Logger.Info("stop ordered", "session_id", id, "reason", reason)
	return s.cfg.Catalog.Session(ctx, id)
}
