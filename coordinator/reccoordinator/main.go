// Command reccoordinator leads recordings: it answers agents, encoders, people and browsers on one port, and keeps the
// catalog. The broker (NATS JetStream), the archive and the encoders run elsewhere.
//
// The first signal lets calls under way end, the second ends it at once. It exits with 2 and one line on stderr where the
// command line or what it names cannot be used, and with 1 where it fails later.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/recfleet/recfleet/internal/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal has its usual effect
	os.Exit(program.Run(ctx, command(), program.Environment{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}))
}
