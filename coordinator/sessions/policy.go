package sessions

import (
	"context"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
)

// NotRecorded says that policy wants no recording of a session. It is an error to whoever wants to record.
type NotRecorded struct {
	Session string // under which the refusal is kept
	Reason  string
	Rule    string // empty where the policy's defaults say so
	Hash    string // of the policy
}

func (n *NotRecorded) Error() string { return "not to be recorded: " + n.Reason }

// Outcome is what policy says of a session.
type Outcome struct {
	policy.Decision
	Trials []policy.Trial
	Groups []string
}

// Try returns what would hold for a session that began now. Frame rate and segment length are those of the server where policy
// leaves them to it.
func (s *Sessions) Try(subject policy.Subject) Outcome {
	p := s.policy()
	return Outcome{Decision: s.complete(p.Decide(subject)), Trials: p.Try(subject), Groups: p.Groups(subject)}
}

func (s *Sessions) policy() *policy.Policy {
	if s.cfg.Policy == nil {
		return nil
	}
	return s.cfg.Policy()
}

// complete fills in what a decision leaves to the server.
func (s *Sessions) complete(d policy.Decision) policy.Decision {
	if d.FrameRate == 0 {
		d.FrameRate = s.cfg.Settings.FrameRate
	}
	if d.SegmentLength == 0 {
		d.SegmentLength = s.cfg.Settings.SegmentLength
	}
	return d
}

func (s *Sessions) decide(start Start) policy.Decision {
	return s.complete(s.policy().Decide(subjectOf(start)))
}

// groups are those that the user of a session is in: rights may be limited to them.
func (s *Sessions) groups(start Start) []string { return s.policy().Groups(subjectOf(start)) }

func subjectOf(start Start) policy.Subject {
	return policy.Subject{User: start.User, Stack: start.Stack, Fleet: start.Fleet, Instance: start.Instance, Metadata: start.Metadata}
}

// kept is what a session keeps of a decision.
func kept(d policy.Decision) catalog.Policy {
	return catalog.Policy{
		Rule: d.Rule, Hash: d.Hash, Mode: string(d.Mode), Retention: d.Retention,
		PolicyTerms: catalog.PolicyTerms{
			Version: d.Version, Grace: d.Grace, Encode: catalog.Encode(d.Encode), Notice: d.Notice, Activity: d.Activity, Enforce: string(d.Enforce),
		},
	}
}

// audit writes down that a session is to begin in a mode that is not strict. It does so before the session is there.
func (s *Sessions) audit(ctx context.Context, id string, start Start, d policy.Decision) error {
	if d.Hash == "" || !d.Record || d.Mode == policy.ModeStrict {
		return nil
	}
	mode := string(d.Mode)
	if d.Mode == policy.ModeGrace {
		mode += " for " + d.Grace.String()
	}
	rule := "the policy's defaults"
	if d.Rule != "" {
		rule = "rule " + d.Rule
	}
	_, err := s.cfg.Catalog.AppendAudit(ctx, catalog.AuditRecord{
		Time: time.Now(), Who: start.Caller, Action: "session.begin_not_strict", Object: id, Result: "ok",
		Reason: fmt.Sprintf("mode %s by %s, policy %s", mode, rule, d.Hash),
	})
	return err
}

// announce logs what a new session was begun under.
func (s *Sessions) announce(session catalog.Session) {
	p := session.Policy
	about := []any{"session_id", session.ID, "user", session.User, "instance", session.Instance}
	if p.Hash != "" {
		about = append(about, "rule", p.Rule, "mode", p.Mode, "policy_hash", p.Hash, "policy_version", p.Version)
	}
	if session.State == catalog.SessionRefused {
		s.cfg.Logger.Info("session excluded by policy", append(about, "reason", session.StateReason)...)
		return
	}
	s.cfg.Logger.Info("session started", about...)
	if p.Hash != "" && p.Mode != string(policy.ModeStrict) {
		s.cfg.Logger.Warn("session began in a mode that is not strict", append(about, "grace", p.Grace)...)
	}
}
