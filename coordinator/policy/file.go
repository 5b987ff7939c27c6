package policy

import (
	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/written"
)

// File is a policy that lies in a file and may be read again. It is safe for concurrent use; a nil File has a nil Policy.
type File = written.File[*Policy]

// Read reads a policy file. written.ErrFile says that it cannot be read, written.Errors what is wrong in it.
func Read(path string) (*Policy, error) {
	raw, err := written.Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(raw)
}

// Open reads the file for the first time; without a path there is none, and it returns nil. Errors as of Read.
func Open(path string, logger hclog.Logger) (*File, error) {
	return written.OpenFile(path, "policy", Parse, logger)
}

// Describe returns what logs say of the policy.
func (p *Policy) Describe() []any {
	return []any{"policy_hash", p.Hash(), "policy_version", p.Version(), "rules", p.Rules()}
}
