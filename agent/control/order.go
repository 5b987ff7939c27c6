package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// stopName is the file that says that the recording is to end, for an agent that was killed before it could.
const (
	stopName  = "stop"
	maxReason = 1 << 10
)

// OrderStop notes in the spool's folder that the recording is to end. An agent that is started again to go on with it hands over
// what is left instead. Idempotent; the first reason stays.
func OrderStop(dir, reason string) error {
	f, err := os.OpenFile(filepath.Join(dir, stopName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("note stop: %w", err)
	}
	_, err = f.WriteString(reason[:min(len(reason), maxReason)])
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note stop: %w", err)
	}
	return nil
}

// StopOrdered returns why the recording is to end, and whether it is.
func StopOrdered(dir string) (reason string, ordered bool) {
	b, err := os.ReadFile(filepath.Join(dir, stopName))
	if err != nil {
		return "", false
	}
	if reason = strings.ToValidUTF8(string(b), ""); reason == "" {
		reason = "stopped"
	}
	return reason, true
}

// WithdrawStop takes the order back: another recording is to begin. Idempotent.
func WithdrawStop(dir string) error {
	if err := os.Remove(filepath.Join(dir, stopName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("withdraw stop: %w", err)
	}
	return nil
}
