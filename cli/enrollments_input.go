package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Bounds of what the coordinator takes for an enrollment.
const (
	maxEnrollmentText = 256
	maxARN            = 1024
	maxPatterns       = 16
	maxUses           = 1_000_000
	longestEnrollment = 10 * 366 * 24 * time.Hour
)

var awsAccount = regexp.MustCompile(`^[0-9]{12}$`)

// checkEnrollment names the first flag of an enrollment that cannot be right.
func checkEnrollment(r *recfleetv1.CreateEnrollmentRequest, aws *recfleetv1.AwsRule, expires time.Duration, uses int32, file string) error {
	for _, f := range []struct {
		flag     string
		patterns []string
	}{{"stack", r.GetStacks()}, {"fleet", r.GetFleets()}} {
		if len(f.patterns) > maxPatterns {
			return usageError{fmt.Errorf("--%s: are %d, at most %d", f.flag, len(f.patterns), maxPatterns)}
		}
		for _, p := range f.patterns {
			var checked string
			err := textFlag{to: &checked, max: maxName}.Set(p)
			if err == nil && p == "" {
				err = errors.New("is no name")
			}
			if err != nil {
				return usageError{fmt.Errorf("--%s: %s %w", f.flag, quote(p), err)}
			}
		}
	}
	problem := ""
	switch {
	case len(r.GetStacks())+len(r.GetFleets()) == 0:
		problem = "--stack: is needed, or --fleet; '*' is any"
	case expires <= 0:
		problem = "--expires: is needed, and is above 0, as 720h"
	case expires > longestEnrollment:
		problem = fmt.Sprintf("--expires: %s is more than ten years", expires)
	case uses < 0 || uses > maxUses:
		problem = fmt.Sprintf("--uses: %d is not from 0 to %d", uses, maxUses)
	case aws.GetArn() != "" && !awsAccount.MatchString(aws.GetAccount()):
		problem = fmt.Sprintf("--aws-account: %s is not of 12 digits", quote(aws.GetAccount()))
	case aws.GetAccount() != "" && aws.GetArn() == "":
		problem = "--aws-arn: is needed with --aws-account"
	}
	if problem != "" {
		return usageError{errors.New(problem)}
	}
	if file == "" {
		return nil
	}
	// Once the enrollment is made its token is nowhere else.
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--agent-file: there is no folder %s", quote(filepath.Dir(file)))}
	}
	return nil
}

var errMachineID = errors.New("cannot be an id: those are 1 to 64 of a-z and 0-9")

// checkMachineID takes an id of an enrollment or of an agent.
func checkMachineID(what string) func(string) error {
	return func(id string) error {
		if !chunk.ValidSession(id) { // all ids are of one form
			return usageError{fmt.Errorf("%s: %s %w", what, quote(id), errMachineID)}
		}
		return nil
	}
}

// machineIDFlag is a flag of such an id.
type machineIDFlag struct{ to *string }

func (f machineIDFlag) String() string { return "" }

func (f machineIDFlag) Type() string { return "ID" }

func (f machineIDFlag) Set(id string) error {
	if !chunk.ValidSession(id) {
		return errMachineID
	}
	*f.to = id
	return nil
}
