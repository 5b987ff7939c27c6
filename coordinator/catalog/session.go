package catalog

import (
	"fmt"
	"time"
)

// Session is one user's sitting at a desktop.
type Session struct {
	ID        string
	RequestID string // made by the agent; one session per request id

	State       SessionState
	StateReason string // why it was moved there; Reason says also what is the matter meanwhile

	User, Stack, Fleet, Instance string
	Groups                       []string // that the user was in when it began, sorted
	Metadata                     map[string]string
	AgentVersion                 string
	Agent                        string // the enrolled agent that began it, which alone goes on with it; empty where it was none

	ArchivePrefix string // of all its objects, below the archive's root
	FrameRate     int    // captured frames a second
	SegmentLength time.Duration
	SegmentBytes  int64 // of its stream, at which a segment is sealed early
	Policy        Policy

	Start   time.Time // wall clock of the instance
	End     time.Time // on the same time line; zero while the session is not over
	Created time.Time // wall clock of the coordinator
	Lost    time.Time // wall clock of the coordinator when the agent was found lost; zero where it was not
	Silent  time.Time // wall clock of the coordinator when a silent agent was last heard of; zero where it is not silent

	// Unrecorded is when on the wall clock of the coordinator the session, whose user is active, was last seen to be recorded; zero
	// where it is recorded.
	Unrecorded time.Time

	Pool string // the label of the encoders that its segments are for; empty for any

	Hold        Hold
	RetainUntil time.Time // when its retention ends; zero where it does not, or is not known yet
	Deletion    Deletion

	StopReason string // who ordered the stop and why; empty where nobody did
	EndReason  string // why capture ended, as the agent says
	EndedBy    Party  // who closed the books; empty while they are open

	// LastSegment is the number of the last segment, 0 where there is none, and Unknown while the books are open.
	LastSegment int
	// LastEvent is the number up to which every event is known.
	LastEvent int64

	Totals Totals

	position int64 // orders sessions by their start, see migration 5
}

// Reason says for a person why the session is in its state; empty where the state says it all.
func (s Session) Reason() string {
	switch {
	case s.StateReason != "" || s.State.Final():
	case !s.Silent.IsZero():
		return "agent silent since " + s.Silent.UTC().Format(time.RFC3339)
	case !s.Unrecorded.IsZero():
		return "user active, nothing recorded since " + s.Unrecorded.UTC().Format(time.RFC3339)
	}
	return s.StateReason
}

// Unknown is the LastSegment of a session whose books are open.
const Unknown = -1

// Party is who did something to a session.
type Party string

// The parties.
const (
	PartyAgent       Party = "agent"
	PartyCoordinator Party = "coordinator"
)

// SessionState is where a session stands.
type SessionState string

// The states of a session; the comments say who moves it on.
const (
	SessionStarting    SessionState = "starting"    // the agent's first event or frame, or its end
	SessionRecording   SessionState = "recording"   // the agent's EndSession, or the watch that misses its Syncs
	SessionFinalizing  SessionState = "finalizing"  // finish, once every segment is archived or quarantined
	SessionComplete    SessionState = "complete"    // final: ended in order
	SessionInterrupted SessionState = "interrupted" // final: the agent disappeared
	SessionEmpty       SessionState = "empty"       // final: no segment
	SessionRefused     SessionState = "refused"     // final: not to be recorded
)

// Become returns nil where a session may go from s to next, and ErrTransition otherwise. It is the whole machine.
func (s SessionState) Become(next SessionState) error {
	ok := false
	switch s {
	case SessionStarting:
		ok = next == SessionRecording || next == SessionFinalizing || next == SessionRefused
	case SessionRecording:
		ok = next == SessionFinalizing
	case SessionFinalizing:
		ok = next == SessionComplete || next == SessionInterrupted || next == SessionEmpty
	case SessionComplete, SessionInterrupted, SessionEmpty, SessionRefused:
	}
	if !ok {
		return fmt.Errorf("session from %q to %q: %w", s, next, ErrTransition)
	}
	return nil
}

// Final reports whether a session stays in this state for ever.
func (s SessionState) Final() bool {
	switch s {
	case SessionComplete, SessionInterrupted, SessionEmpty, SessionRefused:
		return true
	case SessionStarting, SessionRecording, SessionFinalizing:
	}
	return false
}

// Capturing reports whether the agent may bring more in this state.
func (s SessionState) Capturing() bool { return s == SessionStarting || s == SessionRecording }

// Geometry is the size of a desktop in pixels and the monitors on it.
type Geometry struct {
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	Monitors []Monitor `json:"monitors,omitempty"`
}

// Monitor is one output's rectangle on the desktop, in pixels.
type Monitor struct {
	Name    string `json:"name"`
	X       int    `json:"x"`
	Y       int    `json:"y"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Primary bool   `json:"primary,omitempty"`
}

// Epoch is a stretch of a session captured with one geometry and without a break.
type Epoch struct {
	Number   int // from 1
	Start    time.Time
	Geometry Geometry
	Cause    string
}

// MonitorChange says that the monitors on a desktop changed while its size did not: the epoch went on.
type MonitorChange struct {
	Time     time.Time
	Geometry Geometry
}

// Gap is a stretch of a session that was not recorded.
type Gap struct {
	Start, End time.Time
	Cause      string // a constant word
	Detail     string // for a person
}

// Detail is a session with all that belongs to it.
type Detail struct {
	Session  Session
	Epochs   []Epoch   // by number
	Segments []Segment // by number
	Gaps     []Gap     // by start

	MonitorChanges []MonitorChange // by number of their events
}
