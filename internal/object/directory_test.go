package object

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func openDir(t *testing.T, dir string, cfg Config) Store {
	t.Helper()
	loc, err := ParseLocation("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), loc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func directoryBackend() backend {
	return backend{
		open: func(t *testing.T) Store { return openDir(t, t.TempDir(), Config{}) },
		flip: func(t *testing.T, s Store, key string) {
			flipByte(t, filepath.Join(s.(*directory).root.Name(), key))
		},
	}
}

func flipByte(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(name, content, 0); err != nil {
		t.Fatal(err)
	}
}

// files lists every regular file below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDirectoryModesAndNoLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Config{})
	mustPut(t, s, "day/user/video.mp4", []byte("x"))
	mustPut(t, s, "day/user/video.mp4", []byte("x"))
	if _, err := s.Put(t.Context(), "day/user/video.mp4", strings.NewReader("y"), PutOptions{}); err == nil {
		t.Error("overwritten")
	}
	if left := files(t, filepath.Join(dir, tempDir)); len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, most := range map[string]fs.FileMode{"day": 0o750, "day/user": 0o750, "day/user/video.mp4": 0o640} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if extra := st.Mode().Perm() &^ most; extra != 0 || st.Mode().Perm()&0o600 != 0o600 {
			t.Errorf("%s has mode %o, at most %o", name, st.Mode().Perm(), most)
		}
	}
}

// A writer that died leaves a temporary file: nobody sees it, and a later Open removes it once it is old.
func TestDirectoryRemovesOldTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Config{})
	old, young := filepath.Join(dir, tempDir, "old"), filepath.Join(dir, tempDir, "young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("half"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}
	for info := range s.List(t.Context(), "") {
		t.Errorf("half an object is listed: %+v", info)
	}
	openDir(t, dir, Config{TempAge: 30 * time.Minute})
	if left := files(t, filepath.Join(dir, tempDir)); len(left) != 1 || left[0] != young {
		t.Errorf("left are %q, want only %s", left, young)
	}
}

// A crash between the link and the sidecar leaves an object without one; a power cut may leave a torn one.
func TestDirectoryLostSidecar(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Config{})
	want := mustPut(t, s, "a/b", []byte("content"))
	sidecar := filepath.Join(dir, sumName("a/b"))
	for _, torn := range []string{"", "00", want.SHA256.String(), strings.Repeat("0", 64) + " 3\n", want.SHA256.String() + " 7"} {
		if err := os.WriteFile(sidecar, []byte(torn), 0o640); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Stat(t.Context(), "a/b"); err != nil || got != want {
			t.Errorf("sidecar %q: got %+v, %v", torn, got, err)
		}
	}
	if err := os.Remove(sidecar); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Stat(t.Context(), "a/b"); err != nil || got != want {
		t.Errorf("no sidecar: got %+v, %v", got, err)
	}
	mustPut(t, s, "a/b", []byte("content"))
	if got, err := os.ReadFile(sidecar); err != nil || string(got) != formatSum(want.SHA256, 7) {
		t.Errorf("sidecar was not written again: %q, %v", got, err)
	}
}

// What the object holds decides, not what its sidecar says of it.
func TestDirectoryPutComparesBytesNotSidecars(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Config{})
	mustPut(t, s, "a", noise(1, 1000))
	flipByte(t, filepath.Join(dir, "a"))
	_, err := s.Put(t.Context(), "a", bytes.NewReader(noise(1, 1000)), PutOptions{})
	wantErr(t, "put over a damaged object", err, ErrExists)
}

func TestDirectoryFollowsNoLinkOut(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := openDir(t, dir, Config{})
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"out/secret", "file"} {
		if got, err := readAll(t, s, key, 0, -1); err == nil {
			t.Errorf("get %s: read %q from outside", key, got)
		}
	}
	for _, key := range []string{"out/new", "out/new/deep", "file"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x"), PutOptions{}); err == nil {
			t.Errorf("put %s succeeded", key)
		}
	}
	if got := files(t, outside); len(got) != 1 {
		t.Errorf("outside are now %q", got)
	}
}

func TestDirectoryFolderAndObjectOfOneName(t *testing.T) {
	s := openDir(t, t.TempDir(), Config{})
	mustPut(t, s, "a/b", []byte("x"))
	_, err := s.Put(t.Context(), "a", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put over a folder", err, ErrExists)
	_, err = s.Put(t.Context(), "a/b/c", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put below an object", err, ErrExists)
}

func TestDirectoryUnusableRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	loc, err := ParseLocation("file://" + file + "/archive")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), loc, Config{})
	wantErr(t, "open below a file", err, ErrUnavailable)

	dir := filepath.Join(t.TempDir(), "archive")
	s := openDir(t, dir, Config{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "check a removed root", s.Check(t.Context()), ErrUnavailable)
	_, err = s.Put(t.Context(), "a", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put into a removed root", err, ErrUnavailable)
}

func TestDirectoryFull(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root on Linux")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("mounting a small file system: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
	})
	root := filepath.Join(dir, "archive")
	loc, err := ParseLocation("file://" + root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), loc, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(s.Close()); err != nil {
			t.Error(err)
		}
	}()
	mustPut(t, s, "fits", noise(1, 600<<10))
	_, err = s.Put(t.Context(), "day/too-big", bytes.NewReader(noise(2, 600<<10)), PutOptions{})
	wantErr(t, "put into a full directory", err, ErrUnavailable)
	if left := files(t, filepath.Join(root, tempDir)); len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
	_, err = s.Stat(t.Context(), "day/too-big")
	wantErr(t, "stat after it", err, ErrNotFound)
	// Filled to the last block, what is there already is still acknowledged.
	if err := os.WriteFile(filepath.Join(dir, "rest"), noise(3, 2<<20), 0o600); err == nil {
		t.Fatal("the file system is not full")
	}
	mustPut(t, s, "fits", noise(1, 600<<10))
	wantErr(t, "check a full directory", s.Check(t.Context()), ErrUnavailable)
}
