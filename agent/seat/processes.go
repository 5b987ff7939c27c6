package seat

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	maxArguments   = 64 << 10
	maxEnvironment = 256 << 10
	maxTable       = 16 << 20
)

// Server is a running X server.
type Server struct {
	PID     int
	UID     int
	Name    string // its program, such as "Xorg"
	Display string
	// Authority is the file that it was given with -auth; empty for none.
	Authority string
}

// servers are the programs that serve displays. One of another name is known by its socket alone.
func isServer(program string) bool {
	return slices.Contains([]string{
		"X", "Xorg", "Xorg.bin", "Xdcv", "Xvnc", "Xtigervnc", "Xtightvnc", "Xvfb", "Xephyr", "Xwayland", "Xkasmvnc", "Xvnc4",
	}, program)
}

// managed reports whether the server is of those that a display manager starts and that run while nobody is logged in.
func (s Server) managed() bool {
	return slices.Contains([]string{"X", "Xorg", "Xorg.bin", "Xdcv"}, s.Name)
}

// Client is a process that draws on a display.
type Client struct {
	PID, UID, GID int
	Groups        []int
	Display       string
	// Authority and Home are the process's XAUTHORITY and HOME. The user chose them.
	Authority, Home string
}

// processes lists the X servers and those of their clients that say so in their environment.
func (f Finder) processes(listening map[string][]string) ([]Server, []Client, error) {
	dirs, err := filepath.Glob(f.path("proc/[0-9]*"))
	if err != nil {
		return nil, nil, fmt.Errorf("list processes: %w", err)
	}
	var servers []Server
	var clients []Client
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that ends meanwhile, or belongs to somebody else, is passed over.
		arguments, err := readSome(filepath.Join(dir, "cmdline"), maxArguments)
		if err != nil || len(arguments) == 0 {
			continue
		}
		args := strings.Split(strings.TrimRight(string(arguments), "\x00"), "\x00")
		if s := server(dir, args, listening); s != nil {
			s.PID = pid
			servers = append(servers, *s)
			continue
		}
		if c := client(dir); c != nil {
			c.PID = pid
			clients = append(clients, *c)
		}
	}
	return servers, clients, nil
}

// server returns the X server that a process is, nil where it is none.
func server(dir string, args []string, listening map[string][]string) *Server {
	name := filepath.Base(args[0])
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		name = strings.TrimSuffix(filepath.Base(exe), " (deleted)")
	}
	if !isServer(name) {
		return nil
	}
	s := &Server{Name: name}
	var ok bool
	if s.UID, _, _, ok = owner(dir); !ok {
		return nil
	}
	for i, a := range args {
		if d, ok := local(a); ok && a[0] == ':' && i > 0 && s.Display == "" {
			s.Display = d
		}
		if a == "-auth" && i+1 < len(args) && filepath.IsAbs(args[i+1]) {
			s.Authority = args[i+1]
		}
	}
	held, known := sockets(dir)
	switch {
	case s.Display == "": // as with -displayfd
		for d, inodes := range listening {
			if slices.ContainsFunc(inodes, func(i string) bool { return held[i] }) {
				s.Display = d
			}
		}
	case known && len(listening[s.Display]) > 0:
		if !slices.ContainsFunc(listening[s.Display], func(i string) bool { return held[i] }) {
			return nil // it only says so
		}
	}
	if s.Display == "" {
		return nil
	}
	return s
}

// sockets returns the inodes of a process's sockets; false where they are not to be seen.
func sockets(dir string) (map[string]bool, bool) {
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, false
	}
	held := make(map[string]bool)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, "fd", e.Name())); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				held[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return held, true
}

// listening returns the inodes of the listening sockets of every display.
func (f Finder) listening() map[string][]string {
	found := make(map[string][]string)
	table, err := readSome(f.path("proc/net/unix"), maxTable)
	if err != nil {
		return found
	}
	const accepts = "00010000"
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 8 || fields[3] != accepts {
			continue
		}
		digits, ok := strings.CutPrefix(strings.TrimPrefix(fields[7], "@"), "/tmp/.X11-unix/X")
		if d, valid := local(":" + digits); ok && valid {
			found[d] = append(found[d], fields[6])
		}
	}
	return found
}

// alive reports whether somebody listens on a socket.
func alive(path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// client returns what a process says of its display, nil where it has none.
func client(dir string) *Client {
	env, err := readSome(filepath.Join(dir, "environ"), maxEnvironment)
	if err != nil {
		return nil
	}
	c := &Client{}
	for entry := range strings.SplitSeq(string(env), "\x00") {
		k, v, _ := strings.Cut(entry, "=")
		switch k {
		case "DISPLAY":
			c.Display, _ = local(v)
		case "XAUTHORITY":
			c.Authority = v
		case "HOME":
			c.Home = v
		}
	}
	if c.Display == "" {
		return nil
	}
	var ok bool
	if c.UID, c.GID, c.Groups, ok = owner(dir); !ok {
		return nil
	}
	return c
}

// owner returns the ids of a process.
func owner(dir string) (uid, gid int, groups []int, ok bool) {
	status, err := readSome(filepath.Join(dir, "status"), maxArguments)
	if err != nil {
		return 0, 0, nil, false
	}
	uid, gid = -1, -1
	for line := range strings.Lines(string(status)) {
		k, v, _ := strings.Cut(line, ":")
		fields := strings.Fields(v)
		switch {
		case k == "Uid" && len(fields) > 0:
			uid, err = strconv.Atoi(fields[0])
		case k == "Gid" && len(fields) > 0:
			gid, err = strconv.Atoi(fields[0])
		case k == "Groups":
			for _, g := range fields {
				if n, err := strconv.Atoi(g); err == nil {
					groups = append(groups, n)
				}
			}
		}
		if err != nil {
			return 0, 0, nil, false
		}
	}
	return uid, gid, groups, uid >= 0 && gid >= 0
}

// readSome reads at most limit bytes of a regular file, without waiting where it is something else.
func readSome(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return io.ReadAll(io.LimitReader(file, limit))
}
