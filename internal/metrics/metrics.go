// Package metrics counts, and tells Prometheus what was counted, in its text format (version 0.0.4).
//
// What comes in are counters, gauges and histograms that a program keeps, and functions that read others when somebody asks.
// What goes out is text. What always holds: a family has one name, one help text and the same labels in all its samples; what
// reads values for an answer runs once for it, bounded by the asker's context.
package metrics

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Kind is what kind of values a family has.
type Kind string

// The kinds.
const (
	KindCounter   Kind = "counter"   // only grows, but for restarts
	KindGauge     Kind = "gauge"     // goes up and down
	KindHistogram Kind = "histogram" // counts by size
)

// Family describes values of one name.
type Family struct {
	Name, Help string
	Kind       Kind
	Labels     []string
}

// Emit takes one value with the values of its family's labels, in their order.
type Emit func(value float64, labels ...string)

// Registry holds families. It is safe for concurrent use.
type Registry struct {
	mu       sync.Mutex
	families []registered
	before   []func(ctx context.Context)
}

type registered struct {
	Family
	read  func(emit Emit)  // nil for a histogram
	sizes func() []distrib // nil for anything else
}

// New returns a registry without families.
func New() *Registry { return &Registry{} }

// Before has f called before values are read for an answer, so that several families can read what it fetched.
func (r *Registry) Before(f func(ctx context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = append(r.before, f)
}

// Func adds a family whose values are read when somebody asks. It panics where the name is taken or none: a defect.
func (r *Registry) Func(f Family, read func(emit Emit)) { r.add(registered{Family: f, read: read}) }

// Families returns what is registered, by name.
func (r *Registry) Families() []Family {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Family
	for _, f := range r.families {
		out = append(out, f.Family)
	}
	slices.SortFunc(out, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (r *Registry) add(f registered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !validName(f.Name) || f.Help == "" || strings.ContainsAny(f.Help, "\n\\") {
		panic(fmt.Sprintf("metric %q is not well-formed", f.Name))
	}
	for _, l := range f.Labels {
		if !validName(l) {
			panic(fmt.Sprintf("label %q of metric %q is not well-formed", l, f.Name))
		}
	}
	if slices.ContainsFunc(r.families, func(g registered) bool { return g.Name == f.Name }) {
		panic(fmt.Sprintf("metric %q is there already", f.Name))
	}
	r.families = append(r.families, f)
}

// validName takes what Prometheus takes for metrics and labels, but for colons.
func validName(name string) bool {
	for i, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// Value is a counter or a gauge, with one number for every combination of its labels' values.
type Value struct {
	family Family
	mu     sync.Mutex
	values map[string]*labeled
}

type labeled struct {
	labels []string
	value  float64
}

// Counter adds a counter. It panics as Func does.
func (r *Registry) Counter(name, help string, labels ...string) *Value {
	return r.value(Family{name, help, KindCounter, labels})
}

// Gauge adds a gauge. It panics as Func does.
func (r *Registry) Gauge(name, help string, labels ...string) *Value {
	return r.value(Family{name, help, KindGauge, labels})
}

func (r *Registry) value(f Family) *Value {
	v := &Value{family: f, values: map[string]*labeled{}}
	if len(f.Labels) == 0 {
		v.Add(0) // so that it is there before anything happened
	}
	r.Func(f, v.read)
	return v
}

// Add adds to the number of the labels' values. It panics where they are too few or too many: a defect.
func (v *Value) Add(n float64, labels ...string) {
	v.change(labels, func(old float64) float64 { return old + n })
}

// Set replaces the number of the labels' values. It panics as Add does.
func (v *Value) Set(n float64, labels ...string) {
	v.change(labels, func(float64) float64 { return n })
}

func (v *Value) change(labels []string, f func(old float64) float64) {
	key := v.family.key(labels)
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.values[key]
	if l == nil {
		l = &labeled{labels: slices.Clone(labels)}
		v.values[key] = l
	}
	l.value = f(l.value)
}

func (v *Value) read(emit Emit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range v.values {
		emit(l.value, l.labels...)
	}
}

// key tells combinations of labels' values apart.
func (f Family) key(labels []string) string {
	if len(labels) != len(f.Labels) {
		panic(fmt.Sprintf("metric %q has %d labels, not %d", f.Name, len(f.Labels), len(labels)))
	}
	return strings.Join(labels, "\xff")
}
