// Demodesktop is a desktop to demonstrate a recording on: an X server with a
// window manager and a few programs that keep its picture moving.
//
// It prints one line of JSON when everything is on the screen. On its standard
// input it takes lines such as "resize 1280x800", each answered by another line
// of JSON; SIGUSR1 changes to the next of a few sizes. It stops everything that
// it started and ends at SIGTERM, SIGINT, or the end of its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/recfleet/recfleet/test/desktop"
)

// readyTimeout bounds the start of everything; a free machine takes a second.
const readyTimeout = 60 * time.Second

// sizes are what SIGUSR1 goes through, an odd one among them.
var sizes = []string{"1600x900", "1365x767", "1024x768", "1280x720"}

// programs are what runs on the desktop, the window manager first.
var programs = [][]string{
	{"openbox", "--sm-disable"},
	{"xterm", "-geometry", "90x22+20+40", "-title", "log", "-e", "sh", "-c",
		"n=0; while :; do n=$((n+1)); echo \"$(date +%T) request $n served in $((n*37%91)) ms\"; sleep 0.4; done"},
	{"xterm", "-geometry", "80x18+420+380", "-title", "top", "-e", "top", "-d", "2"},
	{"xclock", "-geometry", "180x180-20+40", "-update", "1"},
	{"xeyes", "-geometry", "160x110-20+260"},
}

// state is what is printed when the desktop is ready and after each resize.
type state struct {
	Display string `json:"display"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Pid     int    `json:"pid"`
	Error   string `json:"error,omitempty"`
}

func main() {
	size := flag.String("size", "1280x720", "first size of the screen")
	detached := flag.Bool("detached", false, "read no commands and do not end with standard input")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	next := make(chan os.Signal, 1)
	signal.Notify(next, syscall.SIGUSR1)
	var commands io.Reader
	if !*detached {
		commands = os.Stdin
	}
	if err := run(ctx, *size, commands, next, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demodesktop:", err)
		os.Exit(1)
	}
}

// run shows the desktop until ctx is done or commands end.
func run(ctx context.Context, size string, commands io.Reader, next <-chan os.Signal, out io.Writer) (err error) {
	width, height, err := parseSize(size)
	if err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	server, err := desktop.Launch(ready, desktop.Config{Width: width, Height: height})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	for windows, program := range programs {
		p, err := server.Run(program[0], program[1:]...)
		if err != nil {
			return err
		}
		defer p.Stop()
		// All but the window manager have one window.
		if err := server.WaitWindows(ready, windows); err != nil {
			return fmt.Errorf("run %s: %w: %s", program[0], err, p.Said())
		}
	}
	encode := json.NewEncoder(out)
	if err := encode.Encode(current(server, nil)); err != nil {
		return err
	}
	lines := readLines(ctx, commands)
	for step := 0; ; {
		var resizeErr error
		select {
		case <-ctx.Done():
			return nil
		case <-next:
			resizeErr = resize(server, sizes[step%len(sizes)])
			step++
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			wanted, isResize := strings.CutPrefix(strings.TrimSpace(line), "resize ")
			if !isResize {
				resizeErr = fmt.Errorf("%q is not of the form resize 1280x800", line)
				break
			}
			resizeErr = resize(server, wanted)
		}
		if err := encode.Encode(current(server, resizeErr)); err != nil {
			return err
		}
	}
}

// readLines passes lines on and closes the channel at their end. Its goroutine
// is left to end with the process: a read of standard input cannot be ended.
func readLines(ctx context.Context, r io.Reader) <-chan string {
	if r == nil {
		return nil
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(r); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func resize(server *desktop.Server, size string) error {
	width, height, err := parseSize(size)
	if err != nil {
		return err
	}
	return server.Resize(width, height)
}

func current(server *desktop.Server, err error) state {
	width, height, sizeErr := server.Size()
	s := state{Display: server.Display(), Width: width, Height: height, Pid: server.Pid()}
	if err := errors.Join(err, sizeErr); err != nil {
		s.Error = err.Error()
	}
	return s
}

func parseSize(size string) (width, height int, err error) {
	if n, err := fmt.Sscanf(size, "%dx%d", &width, &height); n != 2 || err != nil || width < 64 || height < 64 {
		return 0, 0, fmt.Errorf("%q is not a size such as 1280x800", size)
	}
	return width, height, nil
}
