package hook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/recfleet/recfleet/agent/spool"
)

// Prepare makes the spool's folder where there is none and checks that nobody but root and the caller can read it, replace it,
// or replace what leads to it.
func Prepare(dir string) error {
	if err := checkPath(dir); err != nil {
		return err
	}
	if err := spool.Prepare(dir); err != nil {
		return err
	}
	return checkPath(dir)
}

// checkPath walks down to a folder, as far as it is there.
func checkPath(dir string) error {
	at := "/"
	for _, name := range strings.Split(strings.Trim(filepath.Clean(dir), "/"), "/") {
		if err := checkFolder(at); err != nil {
			return err
		}
		at = filepath.Join(at, name)
		st, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at spool folder: %w", err)
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			if !ours(st) {
				return fmt.Errorf("spool folder %s: %s is a link that another user made", dir, at)
			}
			to, err := filepath.EvalSymlinks(at)
			if err != nil {
				return fmt.Errorf("look at spool folder: %w", err)
			}
			if err := checkPath(to); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFolder says whether others can put something of theirs in the place of what is in a folder.
func checkFolder(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at spool folder: %w", err)
	}
	switch {
	case !ours(st):
		return fmt.Errorf("the spool folder lies below %s, which belongs to another user", path)
	case st.Mode().Perm()&0o022 != 0 && st.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("the spool folder lies below %s, to which other users can write", path)
	}
	return nil
}

// ours reports whether root or the caller owns it.
func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && (sys.Uid == 0 || int(sys.Uid) == os.Geteuid())
}
