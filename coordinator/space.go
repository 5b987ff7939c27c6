package coordinator

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// DiskSpace returns a function that tells the least number of bytes that the disks of the directories have left.
func DiskSpace(dirs ...string) func() (uint64, error) {
	return func() (uint64, error) {
		least := uint64(math.MaxUint64)
		for _, dir := range dirs {
			var s unix.Statfs_t
			if err := unix.Statfs(dir, &s); err != nil {
				return 0, fmt.Errorf("read free space of %s: %w", dir, err)
			}
			least = min(least, s.Bavail*uint64(s.Bsize))
		}
		return least, nil
	}
}
