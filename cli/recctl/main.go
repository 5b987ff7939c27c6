// Command recctl finds, watches, stops, downloads and verifies recorded sessions; see recctl --help.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/recfleet/recfleet/cli"
	"github.com/recfleet/recfleet/internal/version"
)

// terminal is the one that this program was started from. It is opened anew, and not taken from standard input, because only
// then can waiting for an answer be interrupted.
const terminal = "/dev/tty"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal has its usual effect
	program := cli.Program{
		Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr,
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())), StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Zone: time.Local, Now: time.Now, Version: version.Version,
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		program.OpenTerminal = func() (io.ReadCloser, error) { return os.Open(terminal) }
	}
	if program.StdoutTerminal {
		program.TerminalSize = func() (int, int) {
			width, height, err := term.GetSize(int(os.Stdout.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		}
	}
	os.Exit(program.Run(ctx))
}
