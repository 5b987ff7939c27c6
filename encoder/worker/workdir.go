package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
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
	lock, err := os.OpenFile(filepath.Join(dir, "encoder.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim work directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("claim work directory: %s is used by another encoder", dir)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && leftover.MatchString(e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("claim work directory: %w", err)
	}
	return lock.Close, nil
}
