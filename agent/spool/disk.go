package spool

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreeDisk returns how many bytes of the spool's disk are free for everybody.
func (p *Spool) FreeDisk() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(p.dir, &st); err != nil {
		return 0, fmt.Errorf("look at the spool's disk: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
