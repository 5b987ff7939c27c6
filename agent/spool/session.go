package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/timeline"
	"github.com/recfleet/recfleet/internal/chunk"
)

// removedSuffix marks the folder of a session that is being deleted.
const removedSuffix = ".removed"

// Registration is what a session is, and what the coordinator answered.
type Registration struct {
	RequestID string `json:"request_id"`
	// RegisterAs is the request id under which the coordinator is asked where it is another one.
	RegisterAs string `json:"register_as,omitempty"`
	// Tried says that the coordinator may know of the session although no answer has come.
	Tried bool `json:"tried,omitempty"`
	// SessionID is empty until the coordinator has given one.
	SessionID string            `json:"session_id,omitempty"`
	Start     time.Time         `json:"start_time"`
	Display   string            `json:"display,omitempty"`
	User      string            `json:"user,omitempty"`
	Stack     string            `json:"stack,omitempty"`
	Fleet     string            `json:"fleet,omitempty"`
	Instance  string            `json:"instance,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Geometry  Geometry          `json:"geometry"`
	Settings  Settings          `json:"settings"`
	// Notice is what the user is still to be told; empty where nothing.
	Notice string `json:"notice,omitempty"`
	// Sitting is what whoever keeps the agent running calls it; a process that comes back goes on with the session of its own.
	Sitting string `json:"sitting,omitempty"`
	// Clock is where the session's time line is anchored.
	Clock timeline.Anchor `json:"clock,omitzero"`
	// End is zero while the session is being recorded.
	End       time.Time `json:"end_time,omitzero"`
	EndReason string    `json:"end_reason,omitempty"`
	// Ended says that the coordinator knows of the end.
	Ended bool `json:"ended,omitempty"`
	// Refused says why the coordinator will have no more of this session; what is left of it stays in the spool.
	Refused string `json:"refused,omitempty"`
	// ContinuedAs is the request id of the session that is made of what is left of this one.
	ContinuedAs string `json:"continued_as,omitempty"`
}

// Settings is how to record.
type Settings struct {
	FrameRate     int           `json:"frame_rate,omitempty"`
	SegmentLength time.Duration `json:"segment_length,omitempty"`
	ChunkBytes    int           `json:"chunk_bytes,omitempty"`
	// SegmentBytes is the size at which a segment's stream is ended early; 0 for no bound.
	SegmentBytes int64 `json:"segment_bytes,omitempty"`
	// Mode and Grace hold for later sessions, while the coordinator cannot be asked; an empty mode leaves it to the host.
	Mode  string        `json:"mode,omitempty"`
	Grace time.Duration `json:"grace,omitempty"`
}

// State is where a segment stands.
type State int

// The states of a segment, in their order. Flush seals, MarkPublished and Free do what their names say.
const (
	StateOpen State = iota
	StateSealed
	StatePublished
	StateFreed
)

// String returns the state's name, which is also the suffix of the segment's file.
func (s State) String() string {
	return [...]string{StateOpen: "open", StateSealed: "sealed", StatePublished: "published", StateFreed: "freed"}[s]
}

// Segment is a snapshot of a segment.
type Segment struct {
	Number int
	State  State
	// Chunks and Bytes are those that are on disk; a segment that is not open grows no more.
	Chunks int
	Bytes  int64
}

type segment struct {
	number   int
	state    State
	header   record
	chunks   int // on disk
	bytes    int64
	chainEnd *chunk.Hash // cached
	writer   *Writer     // while open in this process
}

// Session is one session's part of the spool. Its methods may be called from several goroutines.
type Session struct {
	spool *Spool
	dir   string
	log   hclog.Logger
	kick  chan struct{} // something is to be brought to disk

	flushing sync.Mutex // held by Flush, taken before mu

	mu       sync.Mutex
	reg      Registration
	segments []*segment // number i+1 at i
	events   *eventLog
	changed  chan struct{} // closed at the next change
	cursor   cursor
	broken   error
	until    time.Time
}

// Create makes the folder of a new session. The registration's RequestID names it.
func (p *Spool) Create(reg Registration) (*Session, error) {
	if !requestIDForm.MatchString(reg.RequestID) {
		return nil, fmt.Errorf("create session: request id %q does not match %s", reg.RequestID, requestIDForm)
	}
	dir := filepath.Join(p.dir, "sessions", reg.RequestID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create session: %w", err)
	}
	s := p.newSession(dir, reg)
	if err := s.save(); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	var err error
	if s.events, err = openEventLog(filepath.Join(dir, "events.log")); err != nil {
		return nil, err
	}
	return s, nil
}

func (p *Spool) newSession(dir string, reg Registration) *Session {
	return &Session{
		spool: p, dir: dir, reg: reg, log: p.log.With("request_id", reg.RequestID),
		kick: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// save writes session.json.
func (s *Session) save() error {
	b, err := json.MarshalIndent(s.reg, "", "  ")
	if err != nil {
		return fmt.Errorf("encode registration: %w", err)
	}
	return s.spool.closing(func() error { return replaceFile(filepath.Join(s.dir, "session.json"), append(b, '\n')) })
}

// Registration returns a copy; its maps are not to be written to.
func (s *Session) Registration() Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reg
}

// Update changes the registration and returns once the change is on disk; where that fails, nothing is changed. The session
// id can be given only once, since the hash chain starts from it.
func (s *Session) Update(change func(*Registration)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.reg
	change(&s.reg)
	if old.SessionID != "" && s.reg.SessionID != old.SessionID {
		s.reg = old
		return errors.New("update registration: the session has its id already")
	}
	if err := s.save(); err != nil {
		s.reg = old
		return err
	}
	s.notify()
	return nil
}

// Changed returns a channel that is closed at the next change of segments, chunks, events or registration. Take it before
// looking.
func (s *Session) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Session) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Append adds an event and returns its number. Events returns it once Flush has brought it to disk.
func (s *Session) Append(e Event) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.append(e)
	if err == nil {
		s.poke()
	}
	return n, err
}

// Until returns the end of the last segment that was sealed since the session was opened; zero where none was.
func (s *Session) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

// append is called with mu held.
func (s *Session) append(e Event) (n int64, err error) {
	err = s.spool.closing(func() error {
		n, err = s.events.append(e)
		return err
	})
	return n, err
}

// Events returns at most n events that are on disk, those with numbers above after, in order.
func (s *Session) Events(after int64, n int) ([]Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events.read(after, n)
}

// LastEvent returns the number of the last event appended, 0 where there is none.
func (s *Session) LastEvent() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.events.offsets))
}

// Segments returns all segments by number, the freed ones included.
func (s *Session) Segments() []Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Segment, len(s.segments))
	for i, g := range s.segments {
		all[i] = Segment{Number: g.number, State: g.state, Chunks: g.chunks, Bytes: g.bytes}
	}
	return all
}

// poke asks Run to flush.
func (s *Session) poke() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Run flushes as often as there is something to bring to disk, and a last time when ctx is done. It fails where the disk does.
func (s *Session) Run(ctx context.Context) error {
	tick := time.NewTicker(staleAfter / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.Flush()
		case <-tick.C:
		case <-s.kick:
		}
		if err := s.Flush(); err != nil {
			return err
		}
	}
}

// Close flushes and closes the session's files. A segment that is still open stays so, to be recovered. Idempotent.
func (s *Session) Close() error {
	err := s.Flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.writer != nil {
			err = errors.Join(err, g.writer.closeFiles())
			g.writer = nil
		}
	}
	if s.events.file != nil {
		err = errors.Join(err, s.events.file.Close())
		s.events.file = nil
	}
	return err
}

// Remove deletes a closed session of which every segment was freed; it refuses any other.
func (s *Session) Remove() error {
	for _, g := range s.Segments() {
		if g.State != StateFreed {
			return fmt.Errorf("remove session: segment %d has no receipt", g.Number)
		}
	}
	gone := s.dir + removedSuffix
	if err := renameFile(s.dir, gone); err != nil {
		return fmt.Errorf("remove session: %w", err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove session: %w", err)
	}
	return nil
}

// path returns a segment's file with the given suffix.
func (s *Session) path(number int, suffix string) string {
	return filepath.Join(s.dir, segmentFile(number, suffix))
}

func segmentFile(number int, suffix string) string { return fmt.Sprintf("%06d.%s", number, suffix) }

// move renames a segment's stream from its state's name to the next one's. It does not wait for the disk: every later step
// also follows from the earlier name.
func (s *Session) move(g *segment, to State) error {
	if err := os.Rename(s.path(g.number, g.state.String()), s.path(g.number, to.String())); err != nil {
		return fmt.Errorf("name segment %d %s: %w", g.number, to, err)
	}
	g.state = to
	return nil
}
