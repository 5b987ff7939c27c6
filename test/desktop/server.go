package desktop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a child may take to end by itself before it is killed.
const stopGrace = 5 * time.Second

// Config says what desktop Launch starts.
type Config struct {
	// Width and Height are the first screen size in pixels. Required.
	Width, Height int
	// Locked starts the server with an authority file of its own, so that only
	// clients that show its cookie are let in. See Server.Authority.
	Locked bool
	// Kind is which X server is launched, Xvnc where it is empty.
	Kind Kind
	// Host is the server in a window of which an Xephyr shows itself. It must
	// outlive it.
	Host *Server
	// Without names extensions of the X protocol that the server is not to have.
	Without []string
	// Stderr receives what the X server says. Nil keeps the last of it for the
	// error of a server that did not start.
	Stderr io.Writer
}

// Server is one running X server. Its methods may be called from any goroutine.
type Server struct {
	display   string
	authority string
	cookie    []byte
	dir       string
	cmd       *exec.Cmd
	exited    chan struct{}

	stopOnce sync.Once
	stopErr  error

	mu    sync.Mutex
	modes map[string]bool
}

// Launch starts an X server on a free display and returns once it accepts clients.
// ctx bounds the start only; the caller must Stop the server.
func Launch(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Width <= 0 || cfg.Height <= 0 {
		return nil, fmt.Errorf("launch desktop: size %dx%d is not positive", cfg.Width, cfg.Height)
	}
	dir, err := os.MkdirTemp("", "desktop-")
	if err != nil {
		return nil, fmt.Errorf("launch desktop: %w", err)
	}
	s := &Server{dir: dir, exited: make(chan struct{}), modes: map[string]bool{}}
	if err := s.launch(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("launch desktop: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) launch(ctx context.Context, cfg Config) error {
	args, env, err := cfg.arguments(s.dir)
	if err != nil {
		return err
	}
	if cfg.Locked {
		if err := s.writeAuthority(); err != nil {
			return err
		}
		args = append(args, "-auth", s.authority)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	said := &tail{limit: 4096}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = env
	s.cmd.ExtraFiles = []*os.File{write}
	s.cmd.Stderr = io.Writer(said)
	if cfg.Stderr != nil {
		s.cmd.Stderr = cfg.Stderr
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	err = s.cmd.Start()
	write.Close()
	if err != nil {
		return err
	}
	go func() {
		_ = s.cmd.Wait() // How it ended is of no interest: Stop and Kill end it by signal.
		close(s.exited)
	}()
	stop := context.AfterFunc(ctx, func() { _ = read.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := readLine(read)
	if err != nil {
		s.Kill()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("wait for display: %w: %s", err, said)
	}
	if _, err := strconv.Atoi(line); err != nil {
		s.Kill()
		return fmt.Errorf("wait for display: %q is no display number", line)
	}
	s.display = ":" + line
	if s.cookie != nil {
		// The programs beside the X server look their cookie up by display, the
		// server itself does not: the file can be completed now.
		if err := s.writeAuthority(); err != nil {
			s.Kill()
			return err
		}
	}
	return nil
}

// Display returns the display's name, such as ":1".
func (s *Server) Display() string { return s.display }

// Authority returns the path of the server's authority file, or "" if the
// server lets in every local client of the same user.
func (s *Server) Authority() string { return s.authority }

// Pid returns the process id of the X server.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Env returns the environment of this process with DISPLAY and XAUTHORITY set
// for programs that shall show themselves on the desktop.
func (s *Server) Env() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "DISPLAY=") && !strings.HasPrefix(entry, "XAUTHORITY=") {
			env = append(env, entry)
		}
	}
	env = append(env, "DISPLAY="+s.display)
	if s.authority != "" {
		env = append(env, "XAUTHORITY="+s.authority)
	}
	return env
}

// Stop ends the server, politely at first, and removes its files. It blocks
// until the process is gone; calling it again returns the same result.
func (s *Server) Stop() error {
	s.stopOnce.Do(func() {
		s.signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(stopGrace):
			s.Kill()
		}
		s.stopErr = os.RemoveAll(s.dir)
	})
	return s.stopErr
}

// Kill ends the server at once, as a crash would, and blocks until the process
// is gone. Its socket stays behind. Stop is still needed to remove its files.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// Pause freezes the server until Continue: clients stay connected and hear
// nothing.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Continue wakes a paused server.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	// The one error there is says that the process has ended already.
	_ = s.cmd.Process.Signal(sig)
}

// writeAuthority writes the cookie as an entry that holds for every host name
// and for the server's display, or for every display while it has none yet.
func (s *Server) writeAuthority() error {
	if s.cookie == nil {
		s.cookie = make([]byte, 16)
		rand.Read(s.cookie)
		s.authority = filepath.Join(s.dir, "authority")
	}
	const familyWild = 0xffff
	var file bytes.Buffer
	file.Write([]byte{familyWild >> 8, familyWild & 0xff})
	for _, field := range []string{"", strings.TrimPrefix(s.display, ":"), cookieProtocol, string(s.cookie)} {
		file.Write([]byte{byte(len(field) >> 8), byte(len(field))})
		file.WriteString(field)
	}
	return os.WriteFile(s.authority, file.Bytes(), 0o600)
}

// Cookie returns the server's cookie in hexadecimal, "" if it has none.
func (s *Server) Cookie() string { return hex.EncodeToString(s.cookie) }

// readLine reads up to the first line end, byte by byte: nothing else is lost.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	bytes []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - t.limit; over > 0 {
		t.bytes = t.bytes[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.bytes))
}
