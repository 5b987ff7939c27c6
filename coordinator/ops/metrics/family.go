package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// tell takes one value with the values of its family's labels, in their order.
type tell func(value float64, labels ...string)

// family is a metric whose values are read from a state of type S.
type family[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(s S, tell tell)
}

func gauge[S any](name, help string, read func(s S, tell tell), labels ...string) family[S] {
	return family[S]{prometheus.NewDesc("recfleet_"+name, help, labels, nil), prometheus.GaugeValue, read}
}

func counter[S any](name, help string, read func(s S, tell tell), labels ...string) family[S] {
	return family[S]{prometheus.NewDesc("recfleet_"+name, help, labels, nil), prometheus.CounterValue, read}
}

// collector tells families of one state, which is asked for once for every scrape. Where there is none, they are left out.
type collector[S any] struct {
	state    func() (s S, known bool)
	families []family[S]
}

// Describe says which families there are.
func (c collector[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.families {
		ch <- f.desc
	}
}

// Collect tells their values.
func (c collector[S]) Collect(ch chan<- prometheus.Metric) {
	s, known := c.state()
	if !known {
		return
	}
	for _, f := range c.families {
		f.read(s, func(value float64, labels ...string) {
			for i, l := range labels {
				labels[i] = strings.ToValidUTF8(l, "?")
			}
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}
