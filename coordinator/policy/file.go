package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/written"
)

// ErrFile says that a policy file cannot be read.
var ErrFile = errors.New("policy file")

// Read reads a policy file. ErrFile says that it cannot be read, Errors what is wrong in it.
func Read(path string) (*Policy, error) {
	raw, err := written.Read(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return Parse(raw)
}

// File is a policy that lies in a file and may be read again. It is safe for concurrent use.
type File struct {
	path    string
	logger  hclog.Logger
	current atomic.Pointer[Policy]
}

// Open reads the file for the first time. Errors as of Read.
func Open(path string, logger hclog.Logger) (*File, error) {
	f := &File{path: path, logger: logger}
	p, err := Read(path)
	if err != nil {
		return nil, fmt.Errorf("open policy %s: %w", path, err)
	}
	f.current.Store(p)
	f.logger.Info("policy loaded", "path", path, "policy_hash", p.Hash(), "policy_version", p.Version(), "rules", p.Rules())
	return f, nil
}

// Current returns the policy that holds now. It returns nil for a nil File.
func (f *File) Current() *Policy {
	if f == nil {
		return nil
	}
	return f.current.Load()
}

// Reload reads the file again. Where that fails the policy that held goes on to hold, and the error is as of Read.
func (f *File) Reload() error {
	p, err := Read(f.path)
	if err != nil {
		return fmt.Errorf("reload policy %s: %w", f.path, err)
	}
	before := f.current.Swap(p)
	f.logger.Info("policy reloaded", "path", f.path, "policy_hash", p.Hash(), "policy_version", p.Version(), "rules", p.Rules(),
		"previous_hash", before.Hash())
	return nil
}

// Run reads the file again at every signal, until ctx is done, and then returns nil. It blocks.
func (f *File) Run(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			if err := f.Reload(); err != nil {
				f.logger.Error("policy refused, the one before goes on to hold", "error", err, "policy_hash", f.Current().Hash())
			}
		}
	}
}
