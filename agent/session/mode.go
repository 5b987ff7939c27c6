package session

import (
	"fmt"
	"time"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Mode says what becomes of a recording while the coordinator does not know of it.
type Mode string

// The modes. All of them end a recording that the coordinator refuses.
const (
	// Strict records nothing before the coordinator has registered the session.
	Strict Mode = "strict"
	// Grace records at once, and ends the recording where the session is not registered within a set time.
	Grace Mode = "grace"
	// BestEffort records at once and registers the session whenever the coordinator can be reached.
	BestEffort Mode = "best-effort"
)

// modes are as the wire has them; what is not set, or not known, leaves the mode to the host.
var modes = map[recfleetv1.RecordingMode]string{ //nolint:gochecknoglobals // a table that nobody writes to
	recfleetv1.RecordingMode_RECORDING_MODE_STRICT:      string(Strict),
	recfleetv1.RecordingMode_RECORDING_MODE_GRACE:       string(Grace),
	recfleetv1.RecordingMode_RECORDING_MODE_BEST_EFFORT: string(BestEffort),
}

const (
	// DefaultGrace is how long a recording in the mode Grace may go unregistered where nothing else was said.
	DefaultGrace = 5 * time.Minute
	maxGrace     = 24 * time.Hour
)

// ParseMode returns the mode of that name, Strict for none.
func ParseMode(name string) (Mode, error) {
	switch m := Mode(name); m {
	case "":
		return Strict, nil
	case Strict, Grace, BestEffort:
		return m, nil
	}
	return "", fmt.Errorf("mode %.40q is not strict, grace or best-effort", name)
}

// CheckGrace says whether a recording may go unregistered for so long in the mode Grace.
func CheckGrace(d time.Duration) error {
	if d < time.Second || d > maxGrace {
		return fmt.Errorf("grace %s is not 1s to %s", d, maxGrace)
	}
	return nil
}

// Offline reports whether a recording may begin before its session is registered.
func (m Mode) Offline() bool { return m == Grace || m == BestEffort }
