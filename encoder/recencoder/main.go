// Command recencoder leases encode jobs from a coordinator and does them: chunks from the bus become mp4s in the archive.
//
// The first signal lets it finish the jobs that it holds, the second has it give them back and end, and the third kills it. It
// exits with 0 after a signal or an order to drain, with 2 and one line on stderr where the command line, a file it names or
// the archive cannot be used, and with 1 where it fails later.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/recfleet/recfleet/internal/program"
)

func main() {
	ctx, drain := context.WithCancel(context.Background())
	stop := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() { // ends with the program
		<-signals
		drain()
		<-signals
		close(stop)
		signal.Reset() // from then on a signal has its usual effect
	}()
	os.Exit(program.Run(ctx, command(stop), program.Environment{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}))
}
