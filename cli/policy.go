package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const modePrefix = "RECORDING_MODE_"

// Bounds of what a session can be described by.
const (
	maxGroups  = 64
	maxEntries = 64
	maxKey     = 128
	maxValue   = 4096
)

func (a *app) policy() *cobra.Command {
	return noun("policy", "Ask what the recording policy says", a.testPolicy())
}

func (a *app) testPolicy() *cobra.Command {
	var r recfleetv1.TestPolicyRequest
	c := &cobra.Command{
		Use: "test", Short: "Show how a session would be recorded, and which rule says so", Args: noArgs,
		Long: "Show how a session that began now would be recorded, and which rule says so, of the policy that the coordinator holds.\n" +
			"What no flag says is empty. -o wide shows the rules up to the one that holds, and why those before it did not.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewPolicyServiceClient(conn).TestPolicy(ctx, &r)
			if err != nil {
				return failed(err, "test policy")
			}
			return a.print(answer, func(t *tables) { policyTable(t, answer) })
		}),
	}
	a.outputFlags(c)
	flags := c.Flags()
	textVar(flags, &r.User, "user", maxName, "the session's `USER`")
	textVar(flags, &r.Stack, "stack", maxName, "its `STACK`")
	textVar(flags, &r.Fleet, "fleet", maxName, "its `FLEET`")
	textVar(flags, &r.Instance, "instance", maxName, "its `INSTANCE`")
	flags.Var(groupFlag{&r.Groups}, "group", "a `GROUP` that the user is in, beside those that policy and metadata tell; may be repeated")
	flags.Var(entryFlag{&r.Metadata}, "meta", "an entry of its metadata as `KEY=VALUE`; may be repeated")
	return c
}

// groupFlag collects names.
type groupFlag struct{ to *[]string }

func (groupFlag) String() string { return "" }

func (groupFlag) Type() string { return "TEXT" }

func (f groupFlag) Set(s string) error {
	var group string
	if err := (textFlag{to: &group, max: maxName, filled: true}).Set(s); err != nil {
		return err
	}
	if *f.to = append(*f.to, group); len(*f.to) > maxGroups {
		return fmt.Errorf("is one more than the %d that there may be", maxGroups)
	}
	return nil
}

// entryFlag collects entries of metadata.
type entryFlag struct{ to *map[string]string }

func (entryFlag) String() string { return "" }

func (entryFlag) Type() string { return "KEY=VALUE" }

func (f entryFlag) Set(s string) error {
	key, value, ok := strings.Cut(s, "=")
	switch {
	case !ok || key == "":
		return errors.New("is not KEY=VALUE")
	case len(key) > maxKey:
		return fmt.Errorf("has a key of %d bytes, at most %d", len(key), maxKey)
	case len(value) > maxValue:
		return fmt.Errorf("has a value of %d bytes, at most %d", len(value), maxValue)
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(key, unicode.IsControl):
		return errors.New("has control characters in its key")
	}
	if *f.to == nil {
		*f.to = map[string]string{}
	}
	if (*f.to)[key] = value; len(*f.to) > maxEntries {
		return fmt.Errorf("is one more than the %d that there may be", maxEntries)
	}
	return nil
}

func policyTable(t *tables, p *recfleetv1.TestPolicyResponse) {
	s, e := p.GetSettings(), p.GetSettings().GetEncode()
	record := cell{"yes", green}
	if !s.GetRecord() {
		record = cell{"no", yellow}
	}
	rule := p.GetRule()
	switch {
	case p.GetPolicyHash() == "":
		rule = "(there is no policy)"
	case rule == "":
		rule = "(none matches)"
	}
	pairs := [][]cell{
		{{text: "record"}, record}, plain("reason", s.GetReason()), plain("rule", rule), plain("groups", strings.Join(p.GetGroups(), ", ")),
	}
	if s.GetRecord() {
		mode := modeName(s.GetMode())
		if s.GetGrace() != nil {
			mode += " " + durationText(s.GetGrace().AsDuration())
		}
		retention := "for ever"
		if s.GetRetention() != nil {
			retention = daysText(s.GetRetention().AsDuration().Hours())
		}
		pairs = append(pairs,
			plain("mode", mode), plain("frame rate", number(s.GetFrameRate())), plain("segment", durationText(s.GetSegmentLength().AsDuration())),
			plain("encode", encodeText(e)), plain("pool", s.GetPool()), plain("kept", retention), plain("notice", s.GetNotice()),
			plain("activity", strings.Join(s.GetActivity(), ", ")), plain("enforce", s.GetEnforce()))
	}
	pairs = append(pairs, plain("policy", strings.TrimSpace(p.GetPolicyVersion()+" "+p.GetPolicyHash())))
	t.fields(pairs)
	if t.wide && len(p.GetTrials()) > 0 {
		t.title("rules")
		list(t, p.GetTrials(), []column[*recfleetv1.RuleTrial]{
			{"RULE", false, text((*recfleetv1.RuleTrial).GetRule)},
			{"MATCHES", false, text(func(r *recfleetv1.RuleTrial) string { return map[bool]string{true: "yes", false: "no"}[r.GetMatched()] })},
			{"NOT FOR ITS", false, text((*recfleetv1.RuleTrial).GetMismatch)},
		})
	}
}

func daysText(hours float64) string {
	const day = 24
	if hours < 2*day {
		return strconv.FormatFloat(hours, 'f', -1, 64) + " hours"
	}
	return strconv.FormatFloat(hours/day, 'f', -1, 64) + " days"
}

// encodeText describes the mp4s in one line.
func encodeText(e *recfleetv1.PolicyEncode) string {
	var parts []string
	if e.GetPreset() != "" {
		parts = append(parts, e.GetPreset())
	}
	if e != nil && e.Crf != nil {
		parts = append(parts, fmt.Sprintf("crf %d", e.GetCrf()))
	}
	if e.GetBitrate() > 0 {
		parts = append(parts, fmt.Sprintf("%d kbit/s", e.GetBitrate()/1000))
	}
	if e.GetFrameRate() > 0 {
		parts = append(parts, fmt.Sprintf("at most %d fps", e.GetFrameRate()))
	}
	if e.GetMaxWidth() > 0 || e.GetMaxHeight() > 0 {
		parts = append(parts, "at most "+size(e.GetMaxWidth(), e.GetMaxHeight()))
	}
	return strings.Join(parts, ", ")
}
