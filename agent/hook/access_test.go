package hook

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/agent/seat"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/test/desktop"
)

// nobody is a uid that owns nothing here.
const nobody = 65534

func find(t *testing.T, display string) seat.Seat {
	t.Helper()
	at, err := seat.Finder{}.Find(t.Context(), seat.Want{Display: display})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestServersOwnCookieOpensALockedDisplay(t *testing.T) {
	x := desktop.StartConfig(t, desktop.Config{Width: 320, Height: 240, Locked: true})
	dir := t.TempDir()
	path, err := Access{Seat: find(t, x.Display()), SpoolDir: dir}.Open(t.Context())
	if err != nil || path != filepath.Join(dir, authorityName) {
		t.Fatalf("%q, %v", path, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	// FFmpeg's library looks for its host's name; the file holds for any.
	for from, works := range map[string]bool{path: true, "/dev/null": false} {
		cmd := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "x11grab", "-i", x.Display(), "-frames:v", "1", "-f", "null", "-")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XAUTHORITY=" + from}
		if out, err := cmd.CombinedOutput(); (err == nil) != works {
			t.Errorf("ffmpeg with %s: %v, %s", from, err, out)
		}
	}
	// What was given is not replaced by anything.
	if _, err := (Access{Seat: find(t, x.Display()), Authority: "/dev/null", SpoolDir: dir}).Open(t.Context()); err == nil {
		t.Error("a wrong authority file was passed over")
	}
}

func TestUserLetsRootIn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as the desktop's user")
	}
	x := desktop.StartConfig(t, desktop.Config{Width: 320, Height: 240, Locked: true})
	at := find(t, x.Display())
	home, err := os.MkdirTemp("", "home-") //nolint:usetesting // the test's own folder lies below one that the user cannot enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	cookie, err := os.ReadFile(x.Authority())
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(home, ".Xauthority")
	if err := errors.Join(os.WriteFile(own, cookie, 0o600), os.Chown(own, nobody, nobody), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	at.Server.Authority = ""
	at.Client = &seat.Client{UID: nobody, GID: nobody, Display: at.Display, Authority: "/dev/null", Home: home}
	access := Access{Seat: at, SpoolDir: t.TempDir()}
	if _, err := access.Open(t.Context()); !errors.Is(err, x11.ErrRefused) {
		t.Errorf("a user without a cookie let root in: %v", err)
	}
	access.Seat.Client.Authority = ""
	if path, err := access.Open(t.Context()); err != nil || path != "" {
		t.Errorf("%q, %v", path, err)
	}
}

func TestAuthorityFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"/dev/zero", dir, filepath.Join(dir, "absent"), "/etc/passwd"} {
		if got, err := copyCookies(path, ":1", dir); err == nil || strings.Contains(err.Error(), "root:") {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

// entry makes an entry of an authority file.
func entry(family uint16, fields ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, family)
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(f))), f...)
	}
	return b
}

func TestCookiesAreWidened(t *testing.T) {
	file := bytes.Join([][]byte{
		entry(256, "old-name", "1", "MIT-MAGIC-COOKIE-1", "first"), entry(256, "host", "2", "MIT-MAGIC-COOKIE-1", "other"),
		entry(0, "\x7f\x00\x00\x01", "", "MIT-MAGIC-COOKIE-1", "second"), entry(1, "torn")[:5],
	}, nil)
	want := append(entry(0xffff, "", "1", "MIT-MAGIC-COOKIE-1", "first"), entry(0xffff, "", "1", "MIT-MAGIC-COOKIE-1", "second")...)
	if got := widenCookies(file, "1"); !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzWidenCookies(f *testing.F) {
	f.Add(entry(256, "host", "1", "MIT-MAGIC-COOKIE-1", "cookie"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := widenCookies(b, "1")
		if again := widenCookies(out, "1"); !bytes.Equal(again, out) {
			t.Errorf("%q becomes %q", out, again)
		}
	})
}
