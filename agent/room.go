package agent

import (
	"errors"
	"fmt"
)

// DefaultMinFreeBytes is how much of the spool's disk must be free for a session to begin in the strict mode.
const DefaultMinFreeBytes = 500_000_000

// ErrNoRoom says that too little of the spool's disk is free for another session.
var ErrNoRoom = errors.New("too little disk is free")

// checkRoom says whether a new session may begin.
func (a *Agent) checkRoom() error {
	if a.cfg.Mode.Offline() {
		return nil
	}
	free, err := a.spool.FreeDisk()
	if err != nil {
		return err
	}
	if free < a.cfg.MinFreeBytes {
		return fmt.Errorf("%w: %d MB below %s, a session needs %d MB (min_free_bytes)", ErrNoRoom, free/1e6, a.cfg.SpoolDir, a.cfg.MinFreeBytes/1e6)
	}
	return nil
}
