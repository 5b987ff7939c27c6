package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/recfleet/recfleet/internal/filelock"
)

var leftover = regexp.MustCompile(`^[a-z0-9]{1,64}\.[0-9]+\.[0-9]+$`)

// workName is made of a checked session id and numbers only.
func workName(job Job) string {
	return fmt.Sprintf("%s.%d.%d", job.Source.Session, job.Source.Segment, job.Generation)
}

// Claim makes dir where it is missing, takes it for this process alone until release is called, and removes what jobs of
// an earlier process left in it. It touches nothing that is not a job's.
func Claim(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("claim work directory: %w", err)
	}
	lock, err := filelock.Take(filepath.Join(dir, "encoder.lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("claim work directory: %s is used by another encoder", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("claim work directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && leftover.MatchString(e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim work directory: %w", err), lock.Release())
	}
	return lock.Release, nil
}
