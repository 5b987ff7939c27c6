package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/when"
)

// Bounds of what the coordinator takes, in bytes.
const (
	maxName   = 256
	maxReason = 512
	maxText   = 256
)

// flagError says in one form what is wrong with a flag.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usageError{err}
	}
	cause := invalid.Unwrap()
	var number *strconv.NumError
	switch {
	case invalid.GetFlag().Value.Type() == "bool":
		cause = errors.New("is neither true nor false")
	case errors.As(cause, &number) && errors.Is(number.Err, strconv.ErrRange):
		cause = errors.New("is out of bounds")
	case errors.As(cause, &number):
		cause = errors.New("is not a whole number")
	case invalid.GetFlag().Value.Type() == "duration":
		cause = errors.New("is not a duration such as 30s or 2m")
	}
	return usageError{fmt.Errorf("--%s: %s %w", invalid.GetFlag().Name, quote(invalid.GetValue()), cause)}
}

// quoted is how much of bad input is shown.
const quoted = 48

// quote shows what was typed, in quotes and not all of it if it is long.
func quote(s string) string {
	if len(s) <= quoted {
		return strconv.QuoteToGraphic(s)
	}
	cut := quoted
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.QuoteToGraphic(s[:cut]) + "..."
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		return usageError{fmt.Errorf("unknown command %s; see %s --help", quote(args[0]), c.CommandPath())}
	}
	return usageError{fmt.Errorf("%s takes no arguments, and %s is one", c.CommandPath(), quote(args[0]))}
}

// one demands one argument and checks it.
func one(what string, check func(string) error) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s needs one argument, %s; %d were given", c.CommandPath(), what, len(args))}
		}
		return check(args[0])
	}
}

func checkSession(id string) error {
	if !chunk.ValidSession(id) {
		return usageError{fmt.Errorf("SESSION: %s cannot be a session's id: those are 1 to 64 of a-z and 0-9", quote(id))}
	}
	return nil
}

var (
	jobID     = regexp.MustCompile(`^[a-z0-9]{1,64}\.[1-9][0-9]{0,7}$`)
	encoderID = regexp.MustCompile(`^[a-z0-9]{16,64}$`)
)

func checkJob(id string) error {
	if !jobID.MatchString(id) {
		return usageError{fmt.Errorf("JOB: %s cannot be a job's id: those are a session's id, a dot and a segment's number", quote(id))}
	}
	return nil
}

func checkEncoder(id string) error {
	if !encoderID.MatchString(id) {
		return usageError{fmt.Errorf("ENCODER: %s cannot be an encoder's id: those are 16 to 64 of a-z and 0-9", quote(id))}
	}
	return nil
}

// textFlag is a flag of one line of at most max bytes.
type textFlag struct {
	to  *string
	max int
	// filled refuses the empty text.
	filled bool
}

func (f textFlag) String() string { return "" }

func (f textFlag) Type() string { return "TEXT" }

func (f textFlag) Set(s string) error {
	switch {
	case f.filled && s == "":
		return errEmpty
	case len(s) > f.max:
		return fmt.Errorf("is %d bytes long, at most %d", len(s), f.max)
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("holds control characters")
	}
	*f.to = s
	return nil
}

// textVar adds a flag of one line.
func textVar(flags *pflag.FlagSet, to *string, name string, limit int, usage string) {
	flags.Var(textFlag{to: to, max: limit}, name, usage)
}

// errEmpty is about a filter: whoever gives one whose value got lost is not to get everything.
var errEmpty = errors.New("is empty; leave the flag out where nothing is meant")

// filterVar adds a flag of one line by which something is found.
func filterVar(flags *pflag.FlagSet, to *string, name string, limit int, usage string) {
	flags.Var(textFlag{to, limit, true}, name, usage)
}

// statesFlag is a flag of words from a list, given several times or parted by commas.
type statesFlag struct {
	to    *[]string
	words []string
}

func (f statesFlag) String() string { return "" }

func (f statesFlag) Type() string { return "STATE" }

func (f statesFlag) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		var known string
		if err := (oneOf{&known, f.words}).Set(word); err != nil {
			return err
		}
		*f.to = append(*f.to, known)
	}
	return nil
}

// statesVar adds a flag of states, with completion.
func statesVar(c *cobra.Command, to *[]string, words []string, usage string) {
	c.Flags().Var(statesFlag{to, words}, "state", usage)
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// countFlag is a number that is not negative.
type countFlag struct{ to *int }

func (f countFlag) String() string {
	if f.to == nil {
		return "0"
	}
	return strconv.Itoa(*f.to)
}

func (f countFlag) Type() string { return "int" }

func (f countFlag) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return err
	}
	if n < 0 {
		return errors.New("is negative")
	}
	*f.to = int(n)
	return nil
}

func limitVar(flags *pflag.FlagSet, to *int, otherwise int) {
	*to = otherwise
	flags.Var(countFlag{to}, "limit", "at most this many; 0 for all")
}

// timeFlag is an instant, in one of the forms that people type.
type timeFlag struct {
	app *app
	to  **timestamp
}

func (f timeFlag) String() string { return "" }

func (f timeFlag) Type() string { return "TIME" }

func (f timeFlag) Set(s string) error {
	t, err := when.Parse(s, f.app.now(), f.app.zone())
	if err != nil {
		return err
	}
	*f.to = newTimestamp(t)
	return nil
}

func (a *app) timeVar(flags *pflag.FlagSet, to **timestamp, name, usage string) {
	flags.Var(timeFlag{a, to}, name, usage)
}

// inOrder refuses two bounds between which there is nothing.
func inOrder(after *timestamp, afterFlag string, before *timestamp, beforeFlag string) error {
	if after == nil || before == nil || after.AsTime().Before(before.AsTime()) {
		return nil
	}
	return usageError{fmt.Errorf("--%s: is not before --%s, so nothing can be between", afterFlag, beforeFlag)}
}

// oneOf is a flag of a word from a list.
type oneOf struct {
	to    *string
	words []string
}

func (f oneOf) String() string {
	if f.to == nil {
		return ""
	}
	return *f.to
}

func (f oneOf) Type() string { return "WORD" }

func (f oneOf) Set(s string) error {
	for _, w := range f.words {
		if strings.EqualFold(s, w) {
			*f.to = w
			return nil
		}
	}
	return fmt.Errorf("is none of %s", strings.Join(f.words, ", "))
}

// wordVar adds a flag of a word from a list, with completion.
func wordVar(c *cobra.Command, to *string, name string, words []string, usage string) {
	c.Flags().Var(oneOf{to, words}, name, usage)
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

func (a *app) zone() *time.Location {
	if a.Zone == nil {
		return time.UTC
	}
	return a.Zone
}
