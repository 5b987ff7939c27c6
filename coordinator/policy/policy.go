// Package policy decides who is recorded and how.
//
// What comes in is a file of ordered rules, checked against docs/policy.schema.json, and a session's user, groups, stack,
// fleet, instance and metadata; what goes out is a Decision. What always holds: the first rule that matches decides, what it
// leaves out comes from the file's defaults; a Policy never changes, and a file that is wrong in any way never becomes one;
// the same Policy and Subject give the same Decision.
package policy

import (
	"slices"
	"time"
)

// Mode says what becomes of a desktop while it cannot be recorded.
type Mode string

// The modes. ModeUnset leaves it to the agent's own setting; it comes up only without a policy.
const (
	ModeUnset      Mode = ""
	ModeStrict     Mode = "strict"      // no recording, no session
	ModeGrace      Mode = "grace"       // a recording may begin unregistered, for a while
	ModeBestEffort Mode = "best-effort" // a recording may begin unregistered, and be registered whenever
)

// Enforcement is what the coordinator does to the platform's session where a strict recording stops.
type Enforcement string

// The enforcements.
const (
	EnforceNone          Enforcement = ""
	EnforceExpireSession Enforcement = "expire_session" // AppStream's
)

// Bounds of durations, and what holds where a policy does not say it.
const (
	DefaultGrace       = 5 * time.Minute
	DefaultExpireAfter = 2 * time.Minute
	DefaultAlarmAfter  = time.Minute

	minGrace, maxGrace                 = time.Second, 24 * time.Hour
	minSegmentLength, maxSegmentLength = time.Second, time.Hour
	minRetention, maxRetention         = time.Hour, 100 * 365 * 24 * time.Hour
	minExpireAfter, maxExpireAfter     = 10 * time.Second, 24 * time.Hour
	minAlarmAfter, maxAlarmAfter       = 10 * time.Second, time.Hour
	minBitrate, maxBitrate             = 10_000, 100_000_000
)

// Encode is how the mp4s of a session are made; what is zero is left to the coordinator's own settings.
type Encode struct {
	CRF       *int   `json:"crf,omitempty"`     // 0 to 51; nil where it is not set
	Bitrate   int64  `json:"bitrate,omitempty"` // bits a second; never with a CRF
	Preset    string `json:"preset,omitempty"`
	FrameRate int    `json:"frame_rate,omitempty"` // most frames a second
	MaxWidth  int    `json:"max_width,omitempty"`  // pixels
	MaxHeight int    `json:"max_height,omitempty"`
}

// Decision is what a policy says of one session.
type Decision struct {
	Rule          string // the name of the one that matched; empty where none did
	Hash, Version string // of the policy; empty where there is none

	Record bool
	Reason string // why it is not recorded; never empty then

	Mode  Mode
	Grace time.Duration // in the mode grace

	FrameRate     int           // 0 where the coordinator's own setting holds
	SegmentLength time.Duration // likewise
	Encode        Encode
	Pool          string        // the label of the encoders that its segments are for; empty for any
	Retention     time.Duration // from the end of the session; 0 is for ever
	Notice        string        // for the user
	Activity      []string      // what is collected beside pictures
	Enforce       Enforcement   // only with ModeStrict
}

// Subject is what a policy looks at.
type Subject struct {
	User     string
	Groups   []string // beside those that the policy and the metadata put the user in
	Stack    string
	Fleet    string
	Instance string
	Metadata map[string]string
}

// AppStream is how the platform is asked about its sessions, and told to end them.
type AppStream struct {
	Region, Endpoint string // empty where the environment says it
	// ExpireAfter is how long a strict session may go unrecorded before it is ended, AlarmAfter how long a user may be
	// connected unrecorded before there is an alarm.
	ExpireAfter, AlarmAfter time.Duration
	Watch                   []Fleet
}

// Fleet is one that the platform is asked about.
type Fleet struct {
	Stack, Fleet   string
	Authentication []string // "api", "saml", "userpool"
}

// Policy is a policy file as it was read. It never changes. A nil Policy records everything as the coordinator was told.
type Policy struct {
	hash, version string
	groups        []group
	rules         []rule
	otherwise     Decision // where no rule matches
	appstream     AppStream
}

// group has members by their names.
type group struct {
	name  string
	users patterns
}

type rule struct {
	name     string
	match    match
	decision Decision
}

// Hash returns the SHA-256 of the file in hex; empty for none.
func (p *Policy) Hash() string {
	if p == nil {
		return ""
	}
	return p.hash
}

// Version returns what the author calls this state of the policy.
func (p *Policy) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// Rules returns how many rules there are.
func (p *Policy) Rules() int {
	if p == nil {
		return 0
	}
	return len(p.rules)
}

// AppStream returns how the platform is watched.
func (p *Policy) AppStream() AppStream {
	if p == nil {
		return AppStream{ExpireAfter: DefaultExpireAfter, AlarmAfter: DefaultAlarmAfter}
	}
	a := p.appstream
	a.Watch = slices.Clone(a.Watch)
	return a
}

// Decide returns what holds for a session.
func (p *Policy) Decide(s Subject) Decision {
	if p == nil {
		return Decision{Record: true}
	}
	s.Groups = p.groupsOf(s)
	for _, r := range p.rules {
		if r.match.mismatch(s) == "" {
			return r.decision.clone(p.hash)
		}
	}
	return p.otherwise.clone(p.hash)
}

// Trial is how a rule did on a session.
type Trial struct {
	Rule    string
	Matched bool
	// Mismatch is the first condition that did not match, as "user" or "metadata.env"; empty where the rule matched.
	Mismatch string
}

// Try returns how the rules did on a session, in their order, up to the one that matched.
func (p *Policy) Try(s Subject) []Trial {
	if p == nil {
		return nil
	}
	s.Groups = p.groupsOf(s)
	var trials []Trial
	for _, r := range p.rules {
		why := r.match.mismatch(s)
		trials = append(trials, Trial{Rule: r.name, Matched: why == "", Mismatch: why})
		if why == "" {
			break
		}
	}
	return trials
}

// Groups returns the groups that a session's user is in, sorted: those it came with, those of the metadata, and those that
// the policy defines.
func (p *Policy) Groups(s Subject) []string {
	if p == nil {
		return claimed(s)
	}
	return p.groupsOf(s)
}

func (p *Policy) groupsOf(s Subject) []string {
	found := claimed(s)
	for _, g := range p.groups {
		if g.users.matchFold(s.User) {
			found = append(found, g.name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// clone returns a decision that shares nothing with d, under the policy's hash.
func (d Decision) clone(hash string) Decision {
	d.Hash = hash
	d.Activity = slices.Clone(d.Activity)
	if d.Encode.CRF != nil {
		crf := *d.Encode.CRF
		d.Encode.CRF = &crf
	}
	return d
}
