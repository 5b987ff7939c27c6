// Package drift compares how the broker and the archive are configured with how they must be, at start and every minute.
//
// What comes in are sources that find what deviates; what goes out are an error in the log for every deviation that is new or
// has changed, once, a word when it is over, and what deviates now, for metrics and readiness. What always holds: a source
// that cannot be asked takes nothing back; nothing is put right by itself, for somebody changed it.
package drift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/duty"
)

// Part is what is configured.
type Part string

// The parts.
const (
	PartBroker  Part = "broker"  // its servers and the account of the streams: what every session depends on
	PartStream  Part = "stream"  // of one session
	PartArchive Part = "archive" // the directory or bucket
)

// Parts returns all parts.
func Parts() []Part { return []Part{PartBroker, PartStream, PartArchive} }

// Finding is a setting that is not as it must be.
type Finding struct {
	Part    Part
	Of      string // which one of the part: a server's name, a session's id; may be empty
	Setting string
	Want    string
	Have    string
}

// String is the finding in one line.
func (f Finding) String() string {
	of := string(f.Part)
	if f.Of != "" {
		of += " " + f.Of
	}
	return fmt.Sprintf("%s: %s is %s instead of %s", of, f.Setting, f.Have, f.Want)
}

// Source finds what deviates. It fails where it cannot be told.
type Source struct {
	Name string
	Find func(ctx context.Context) ([]Finding, error)
}

const (
	every = time.Minute
	// bound is how long one source may take.
	bound = 30 * time.Second
	// logged bounds the findings of one step that are logged one by one.
	logged = 20
	// shown bounds those that are told in one line.
	shown = 3
)

// Drift knows what deviates. It is safe for concurrent use.
type Drift struct {
	sources []Source
	logger  hclog.Logger

	mu      sync.Mutex
	found   map[string][]Finding // by source
	checked time.Time            // when every source was last asked with success
}

// New returns a Drift that has looked at nothing.
func New(sources []Source, logger hclog.Logger) *Drift {
	return &Drift{sources: sources, logger: logger, found: map[string][]Finding{}}
}

// Run looks at once and every minute until ctx is done.
func (d *Drift) Run(ctx context.Context) error {
	return duty.Duty{Every: every, Step: d.Step, Logger: d.logger}.Run(ctx)
}

// Step asks every source once.
func (d *Drift) Step(ctx context.Context) error {
	var failed error
	for _, s := range d.sources {
		found, err := find(ctx, s)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("check configuration of %s: %w", s.Name, err))
			continue
		}
		slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
		d.mu.Lock()
		before := d.found[s.Name]
		d.found[s.Name] = found
		d.mu.Unlock()
		d.tell(before, found)
	}
	if failed == nil {
		d.mu.Lock()
		d.checked = time.Now()
		d.mu.Unlock()
	}
	return failed
}

func find(ctx context.Context, s Source) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return s.Find(ctx)
}

// tell logs what changed.
func (d *Drift) tell(before, now []Finding) {
	news := without(now, before)
	for _, f := range news[:min(len(news), logged)] {
		d.logger.Error("configuration drifted", "part", f.Part, "of", f.Of, "setting", f.Setting, "want", f.Want, "have", f.Have)
	}
	if more := len(news) - logged; more > 0 {
		d.logger.Error("more configuration drifted", "settings", more)
	}
	over := without(before, now)
	over = slices.DeleteFunc(over, func(f Finding) bool { return slices.ContainsFunc(now, f.same) })
	for _, f := range over[:min(len(over), logged)] {
		d.logger.Info("configuration recovered", "part", f.Part, "of", f.Of, "setting", f.Setting, "was", f.Have)
	}
	if more := len(over) - logged; more > 0 {
		d.logger.Info("more configuration recovered", "settings", more)
	}
}

// same reports whether both are about the same setting.
func (f Finding) same(g Finding) bool {
	return f.Part == g.Part && f.Of == g.Of && f.Setting == g.Setting
}

// without returns what of a is not in b.
func without(a, b []Finding) (left []Finding) {
	known := make(map[Finding]bool, len(b))
	for _, f := range b {
		known[f] = true
	}
	for _, f := range a {
		if !known[f] {
			left = append(left, f)
		}
	}
	return left
}

// Findings returns what deviates, and when everything was last looked at; the zero time where that never was.
func (d *Drift) Findings() (found []Finding, checked time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sources {
		found = append(found, d.found[s.Name]...)
	}
	return found, d.checked
}

// Broker fails where the broker's own configuration deviates: no session is safe then.
func (d *Drift) Broker(context.Context) error {
	found, _ := d.Findings()
	found = slices.DeleteFunc(found, func(f Finding) bool { return f.Part != PartBroker })
	if line := line(found); line != "" {
		return errors.New(line)
	}
	return nil
}

// Line says in one line what deviates; empty where nothing does.
func (d *Drift) Line() string {
	found, _ := d.Findings()
	if len(found) == 0 {
		return ""
	}
	return "drift: " + line(found)
}

func line(found []Finding) string {
	var parts []string
	for _, f := range found[:min(len(found), shown)] {
		parts = append(parts, f.String())
	}
	if more := len(found) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
