package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Inspect counts the sessions of a spool and the bytes of their segments without opening it: the numbers may be a moment old.
// A folder that is not there holds nothing.
func Inspect(dir string) (sessions int, bytes int64, err error) {
	root := filepath.Join(dir, "sessions")
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read sessions folder: %w", err)
	}
	for _, e := range entries {
		if !requestIDForm.MatchString(e.Name()) {
			continue
		}
		sessions++
		files, err := os.ReadDir(filepath.Join(root, e.Name()))
		if err != nil {
			continue // it was just removed
		}
		for _, f := range files {
			_, suffix, _ := strings.Cut(f.Name(), ".")
			if suffix != StateOpen.String() && suffix != StateSealed.String() && suffix != StatePublished.String() {
				continue
			}
			if st, err := f.Info(); err == nil {
				bytes += st.Size()
			}
		}
	}
	return sessions, bytes, nil
}
