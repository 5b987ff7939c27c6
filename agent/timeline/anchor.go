package timeline

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// bootID is a file whose content is the same from one start of the machine to the next.
const bootID = "/proc/sys/kernel/random/boot_id"

// Anchor is what another process needs to go on with a time line.
type Anchor struct {
	// Boot names the start of the machine since which SinceBoot is counted.
	Boot      string        `json:"boot"`
	Start     time.Time     `json:"start"`
	SinceBoot time.Duration `json:"since_boot"`
}

// Anchor returns the time line's anchor; a zero one, from which nothing can be resumed, where the machine does not say when it
// was started.
func (t Timeline) Anchor() Anchor {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return Anchor{}
	}
	return Anchor{Boot: strings.TrimSpace(string(boot)), Start: t.start, SinceBoot: t.boot}
}

// Resume goes on with a time line on the machine's clock. It fails where the machine was started anew since: its clock began anew
// too. Of sleeps before it knows nothing.
func Resume(a Anchor) (Timeline, error) { return SystemClock().Resume(a) }

// Resume goes on with a time line, as the function of that name does.
func (c Clock) Resume(a Anchor) (Timeline, error) {
	id, err := os.ReadFile(bootID)
	if err != nil {
		return Timeline{}, fmt.Errorf("resume time line: %w", err)
	}
	if a.Boot == "" || a.Boot != strings.TrimSpace(string(id)) {
		return Timeline{}, fmt.Errorf("resume time line: it is of another start of the machine (%q)", a.Boot)
	}
	boot, asleep := c.look()
	start := a.Start.Round(0)
	return Timeline{clock: c, start: start, boot: a.SinceBoot, past: &past{last: start.Add(boot - a.SinceBoot), asleep: asleep}}, nil
}
