package hook

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestPrepareRefusesWhatOthersCanReplace(t *testing.T) {
	root := t.TempDir()
	folder := func(name string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(root, name)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, fine := range map[string]bool{
		filepath.Join(folder("open", 0o777), "spool"):                  false,
		filepath.Join(folder("group", 0o770), "spool"):                 false,
		filepath.Join(folder("sticky", 0o777|os.ModeSticky), "a", "b"): true,
		filepath.Join(folder("private", 0o700), "spool"):               true,
		filepath.Join(folder("readable", 0o755), "spool"):              true,
		filepath.Join(root, "private", "..", "open", "..", "also-ok"):  true,
	} {
		if err := Prepare(path); (err == nil) != fine {
			t.Errorf("%s: %v", path, err)
		}
		if st, err := os.Stat(path); fine && (err != nil || st.Mode().Perm() != 0o700) {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	if err := os.Symlink(filepath.Join(root, "private"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(filepath.Join(root, "link", "spool")); err != nil {
		t.Errorf("a link of our own: %v", err)
	}
	if err := os.Symlink(filepath.Join(root, "open"), filepath.Join(root, "into-open")); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(filepath.Join(root, "into-open", "spool")); err == nil {
		t.Error("a link into a folder that others can write was followed")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to another user")
	}
	if err := os.Lchown(filepath.Join(root, "link"), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(filepath.Join(root, "link", "spool")); err == nil {
		t.Error("another user's link was followed")
	}
	if err := os.Chown(filepath.Join(root, "private", "spool"), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(filepath.Join(root, "private", "spool")); err == nil {
		t.Error("another user's folder was taken")
	}
}
