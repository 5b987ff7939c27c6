package hook

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/recfleet/recfleet/agent/seat"
	"github.com/recfleet/recfleet/agent/x11"
)

const (
	// authorityName is the file in the spool's folder with the display's cookie.
	authorityName = "xauthority"
	maxAuthority  = 64 << 10
	openTimeout   = 5 * time.Second
	xhostTimeout  = 5 * time.Second
)

// Access is how to get into a display.
type Access struct {
	Seat seat.Seat
	// Authority is the authority file that was given; nothing else is tried beside it.
	Authority string
	// Fallback is one that may be tried where the server's own does not open the display.
	Fallback string
	// SpoolDir gets a private copy of the server's cookie.
	SpoolDir string
}

// Open finds a way into the display and returns the authority file for it, empty where none is needed. It tries what it was
// given; else the file that the server itself was started with, no cookie, the fallback, and at last, as root, what
// `xhost +si:localuser:root` run as the desktop's user opens. The error wraps x11.ErrNoDisplay or x11.ErrRefused where it is one.
func (a Access) Open(ctx context.Context) (string, error) {
	if a.Authority != "" {
		return a.Authority, a.try(a.Authority)
	}
	if from := a.Seat.Server.Authority; from != "" {
		path, err := copyCookies(from, a.Seat.Display, a.SpoolDir)
		if err == nil && a.try(path) == nil {
			return path, nil
		}
	}
	err := a.try("")
	if err == nil || !errors.Is(err, x11.ErrRefused) {
		return "", err
	}
	if a.Fallback != "" && a.try(a.Fallback) == nil {
		return a.Fallback, nil
	}
	if os.Geteuid() == 0 && a.Seat.Client != nil {
		if xerr := a.admitRoot(ctx); xerr != nil {
			return "", fmt.Errorf("%w; %w", err, xerr)
		}
		err = a.try("")
	}
	return "", err
}

// Authority returns the authority file that was used for a display before, empty for none.
func Authority(s Settings) string {
	path := filepath.Join(s.SpoolDir, authorityName)
	if _, err := os.Stat(path); s.Authority != "" || err != nil {
		return s.Authority
	}
	return path
}

func (a Access) try(authority string) error {
	d, err := x11.Open(a.Seat.Display, x11.Options{Authority: authority, Timeout: openTimeout})
	if err != nil {
		return err
	}
	_, err = d.Geometry()
	return errors.Join(err, d.Close())
}

// admitRoot has the desktop's user let root in. It runs with that user's rights and environment and nothing else.
func (a Access) admitRoot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, xhostTimeout)
	defer cancel()
	c := a.Seat.Client
	cmd := exec.CommandContext(ctx, "/usr/bin/xhost", "+si:localuser:root")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "DISPLAY=" + a.Seat.Display}
	for k, v := range map[string]string{"XAUTHORITY": c.Authority, "HOME": c.Home} {
		if v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	who := &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID)}
	for _, g := range c.Groups {
		who.Groups = append(who.Groups, uint32(g))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("have %s let root in: %w: %.200s", a.Seat.User, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// copyCookies writes a display's cookies to a file of our own, for a host of any name: the libraries that FFmpeg uses compare
// host names, and an instance may have got another one since the server started.
func copyCookies(from, display, dir string) (string, error) {
	// The path is from a process's arguments: what it names may be anything.
	file, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("read authority: %w", err)
	}
	defer func() { _ = file.Close() }()
	st, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read authority: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxAuthority {
		return "", fmt.Errorf("read authority: %s is no authority file", from)
	}
	b, err := io.ReadAll(io.LimitReader(file, maxAuthority))
	if err != nil {
		return "", fmt.Errorf("read authority: %w", err)
	}
	number := strings.TrimPrefix(display, ":")
	out := widenCookies(b, number)
	if len(out) == 0 {
		return "", fmt.Errorf("read authority: %s has no cookie for display %s", from, display)
	}
	path := filepath.Join(dir, authorityName)
	if err := writePrivate(path, out); err != nil {
		return "", fmt.Errorf("copy authority: %w", err)
	}
	return path, nil
}

// widenCookies returns those entries of an authority file that are for the display, made to hold for every host. A torn end is
// left out.
func widenCookies(b []byte, number string) []byte {
	var out []byte
	for len(b) > 2 {
		b = b[2:] // the address family
		var fields [4][]byte
		for i := range fields {
			if len(b) < 2 {
				return out
			}
			n := int(binary.BigEndian.Uint16(b))
			if len(b) < 2+n {
				return out
			}
			fields[i], b = b[2:2+n], b[2+n:]
		}
		owner, protocol, cookie := string(fields[1]), fields[2], fields[3]
		if owner != "" && owner != number {
			continue
		}
		const anyHost = 0xffff
		out = binary.BigEndian.AppendUint16(out, anyHost)
		for _, f := range [][]byte{nil, []byte(number), protocol, cookie} {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(f))), f...)
		}
	}
	return out
}

// writePrivate replaces a file by one that only its owner can read.
func writePrivate(path string, b []byte) error {
	tmp := path + ".new"
	_ = os.Remove(tmp) // one with another mode, perhaps
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
