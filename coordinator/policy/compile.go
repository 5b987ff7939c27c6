package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/recfleet/recfleet/coordinator/written"
)

// compiler turns what is written into what is decided, and gathers what is wrong.
type compiler struct{ problems []written.Found }

func (c *compiler) wrong(path []string, format string, args ...any) {
	c.problems = append(c.problems, written.Found{Path: path, Text: fmt.Sprintf(format, args...)})
}

// compile returns the policy of a document that the schema has nothing against.
func (d document) compile() (*Policy, []written.Found) {
	var c compiler
	p := &Policy{version: versionText(d.Version)}
	for name, users := range d.Groups {
		p.groups = append(p.groups, group{name, users})
	}
	slices.SortFunc(p.groups, func(a, b group) int { return cmp.Compare(a.name, b.name) })

	base := Decision{Record: true, Mode: ModeStrict, Version: p.version}
	p.otherwise = c.decide(base, d.Defaults, []string{"defaults"})
	seen, all := map[string]int{}, -1
	for i, r := range d.Rules {
		at := []string{"rules", strconv.Itoa(i)}
		if before, ok := seen[r.Name]; ok {
			c.wrong(append(at, "name"), "%q is already the name of rules[%d]", r.Name, before)
		} else {
			seen[r.Name] = i
		}
		m := match{
			stack: r.Match.Stack, fleet: r.Match.Fleet, user: r.Match.User, group: r.Match.Group, instance: r.Match.Instance,
			metadata: metadata(r.Match.Metadata),
		}
		if all >= 0 {
			c.wrong(at, "is never reached: rules[%d] (%s) matches everything", all, d.Rules[all].Name)
		} else if m.everything() {
			all = i
		}
		decision := c.decide(p.otherwise, r.settings, at)
		decision.Rule = r.Name
		p.rules = append(p.rules, rule{r.Name, m, decision})
	}
	p.appstream = c.appstream(d.AppStream)
	return p, c.problems
}

// decide lays settings over what holds without them.
func (c *compiler) decide(base Decision, s settings, at []string) Decision {
	path := func(steps ...string) []string { return append(slices.Clone(at), steps...) }
	d := base.clone("")
	if s.Record != nil {
		d.Record = *s.Record
	}
	if s.Reason != "" {
		d.Reason = s.Reason
	}
	if s.Mode != "" {
		d.Mode = Mode(s.Mode)
	}
	switch {
	case s.Grace != "" && d.Mode != ModeGrace:
		c.wrong(path("grace"), "has no meaning in the mode %s", d.Mode)
	case s.Grace != "":
		d.Grace = c.duration(path("grace"), s.Grace, minGrace, maxGrace)
	case d.Mode != ModeGrace:
		d.Grace = 0
	case d.Grace == 0:
		d.Grace = DefaultGrace
	}
	if s.FrameRate != 0 {
		d.FrameRate = s.FrameRate
	}
	if s.SegmentLength != "" {
		d.SegmentLength = c.duration(path("segment_length"), s.SegmentLength, minSegmentLength, maxSegmentLength)
	}
	d.Encode = c.encode(d.Encode, s.Encode, path("encode"))
	switch s.Pool {
	case "":
	case anyPool:
		d.Pool = ""
	default:
		d.Pool = s.Pool
	}
	switch s.Retention {
	case "":
	case "forever":
		d.Retention = 0
	default:
		d.Retention = c.duration(path("retention"), s.Retention, minRetention, maxRetention)
	}
	if s.Notice != nil {
		d.Notice = *s.Notice
	}
	if s.Activity != nil {
		d.Activity = slices.Sorted(slices.Values(s.Activity))
	}
	switch s.Enforce {
	case "":
	case "none":
		d.Enforce = EnforceNone
	default:
		d.Enforce = Enforcement(s.Enforce)
		if d.Mode != ModeStrict || !d.Record {
			c.wrong(path("enforce"), "%s needs a session that is recorded in the mode strict", s.Enforce)
		}
	}
	return c.settle(d, s, path)
}

// anyPool is how a policy writes that any encoder will do.
const anyPool = "any"

// settle takes away what has no meaning beside the rest.
func (c *compiler) settle(d Decision, s settings, path func(...string) []string) Decision {
	if d.Mode != ModeStrict || !d.Record {
		d.Enforce = EnforceNone
	}
	switch {
	case d.Record && s.Reason != "":
		c.wrong(path("reason"), "has no meaning where the session is recorded")
	case d.Record:
		d.Reason = ""
	case d.Reason == "":
		d.Reason = "the recording policy excludes this session"
	}
	return d
}

func (c *compiler) encode(base Encode, e encode, at []string) Encode {
	path := func(step string) []string { return append(slices.Clone(at), step) }
	if e.CRF != nil && e.Bitrate != "" {
		c.wrong(at, "has both crf and bitrate; give one of them")
		return base
	}
	if e.CRF != nil {
		crf := *e.CRF
		base.CRF, base.Bitrate = &crf, 0
	}
	if e.Bitrate != "" {
		rate, ok := parseBitrate(e.Bitrate)
		if !ok {
			c.wrong(path("bitrate"), "%q is not within 10k to 100M", e.Bitrate)
		}
		base.CRF, base.Bitrate = nil, rate
	}
	base.Preset = cmp.Or(e.Preset, base.Preset)
	base.FrameRate = cmp.Or(e.FrameRate, base.FrameRate)
	base.MaxWidth = cmp.Or(e.MaxWidth, base.MaxWidth)
	base.MaxHeight = cmp.Or(e.MaxHeight, base.MaxHeight)
	return base
}

// parseBitrate reads 800k or 2.5M.
func parseBitrate(text string) (int64, bool) {
	factor := 1e3
	if strings.HasSuffix(text, "M") {
		factor = 1e6
	}
	n, err := strconv.ParseFloat(strings.TrimRight(text, "kM"), 64)
	bits := math.Round(n * factor)
	if err != nil || bits < minBitrate || bits > maxBitrate {
		return 0, false
	}
	return int64(bits), true
}

func (c *compiler) appstream(w writtenAppStream) AppStream {
	a := AppStream{Region: w.Region, Endpoint: w.Endpoint, ExpireAfter: DefaultExpireAfter, AlarmAfter: DefaultAlarmAfter}
	if w.ExpireAfter != "" {
		a.ExpireAfter = c.duration([]string{"appstream", "expire_after"}, w.ExpireAfter, minExpireAfter, maxExpireAfter)
	}
	if w.AlarmAfter != "" {
		a.AlarmAfter = c.duration([]string{"appstream", "alarm_after"}, w.AlarmAfter, minAlarmAfter, maxAlarmAfter)
	}
	for i, f := range w.Watch {
		if slices.ContainsFunc(a.Watch, func(o Fleet) bool { return o.Stack == f.Stack && o.Fleet == f.Fleet }) {
			c.wrong([]string{"appstream", "watch", strconv.Itoa(i)}, "names the same stack and fleet as an entry before")
		}
		authentication := f.Authentication
		if len(authentication) == 0 {
			authentication = []string{"api", "saml", "userpool"}
		}
		a.Watch = append(a.Watch, Fleet{Stack: f.Stack, Fleet: f.Fleet, Authentication: authentication})
	}
	return a
}

// duration reads what the schema calls a duration.
func (c *compiler) duration(path []string, text string, low, high time.Duration) time.Duration {
	d, ok := parseDuration(text)
	if !ok || d < low || d > high {
		c.wrong(path, "%q is not within %s to %s", text, durationText(low), durationText(high))
	}
	return d
}

// parseDuration reads a sum of numbers with units, days and weeks among them.
func parseDuration(text string) (time.Duration, bool) {
	var sum float64
	for text != "" {
		n := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if n <= 0 {
			return 0, false
		}
		value, err := strconv.ParseFloat(text[:n], 64)
		if err != nil {
			return 0, false
		}
		text = text[n:]
		unit := strings.IndexFunc(text, func(r rune) bool { return r >= '0' && r <= '9' })
		if unit < 0 {
			unit = len(text)
		}
		var one time.Duration
		switch text[:unit] {
		case "ms":
			one = time.Millisecond
		case "s":
			one = time.Second
		case "m":
			one = time.Minute
		case "h":
			one = time.Hour
		case "d":
			one = 24 * time.Hour
		case "w":
			one = 7 * 24 * time.Hour
		default:
			return 0, false
		}
		sum += value * float64(one)
		text = text[unit:]
	}
	if sum > math.MaxInt64/2 {
		return 0, false
	}
	return time.Duration(sum), true
}

// durationText writes a bound as people do.
func durationText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
