package x11

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoIdle says that the server does not tell when there was input.
var ErrNoIdle = errors.New("display does not tell of input")

// Idle returns how long there was no input from mouse or keyboard: a user who
// does something is idle for little. It fails as Geometry does, but waits for the
// server's answer no longer than it is told, and with ErrNoIdle on a server
// without the extension MIT-SCREEN-SAVER.
func (d *Display) Idle(wait time.Duration) (time.Duration, error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	d.ask.until(time.Now().Add(wait))
	idle, err := d.idle()
	if err != nil {
		return 0, fmt.Errorf("ask display %q for input: %w", d.name, err)
	}
	return idle, nil
}

func (d *Display) idle() (time.Duration, error) {
	if !d.saverKnown {
		opcode, err := d.ask.extension("MIT-SCREEN-SAVER")
		if err != nil {
			return 0, err
		}
		d.saver, d.saverKnown = opcode, true
	}
	if d.saver == 0 {
		return 0, ErrNoIdle
	}
	const queryInfo = 1
	reply, err := d.ask.call(d.saver, queryInfo, words(d.ask.root))
	if err != nil {
		return 0, err
	}
	return time.Duration(wire.Uint32(reply[16:])) * time.Millisecond, nil
}
