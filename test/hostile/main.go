// Hostile is an agent that has turned against the others.
//
// It starts recfleet in this process, as it is in production, has two agents join, and lets the second one record for as long as
// it takes. With all that the first one has - its key, its certificate, its right on the bus - it then tries every way to read, change,
// stop or starve what is not its own. It prints what became of each trick, and ends with exit code 1 where one did harm. What
// always holds: the honest session's chunks are read back by other means after every trick; a trick that could not even
// be tried is an error and no success.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("hostile: ")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	harm, err := run(ctx, os.Stdout, hclog.NewNullLogger())
	stop()
	switch {
	case err != nil:
		log.Fatal(err)
	case harm > 0:
		log.Fatalf("%d tricks did harm", harm)
	}
}

// trick is one thing to try. It returns what became of it and whether that did harm, beside what it did to the honest session, which is
// looked at in any case.
type trick struct {
	name string
	try  func(ctx context.Context) (outcome string, harm bool, err error)
}

// run tries everything and returns how many tricks did harm.
func run(ctx context.Context, out io.Writer, logger hclog.Logger) (harmful int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err = within(ctx, logger, func(ctx context.Context, s *stage) error {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		defer func() { _ = table.Flush() }() // whoever cannot read it sees the exit code
		fmt.Fprintln(table, "TRICK\tOUTCOME\tHARM")
		for _, t := range append(append(s.busTricks(), s.callTricks()...), s.floods()...) {
			outcome, harm, err := t.try(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if lost := s.victim.intact(ctx); lost != nil {
				outcome, harm = outcome+"; "+lost.Error(), true
			}
			word := "none"
			if harm {
				word = "HARM"
				harmful++
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", t.name, outcome, word)
		}
		if err := s.victim.end(ctx); err != nil {
			harmful++
			fmt.Fprintf(table, "the honest session in the end\t%v\tHARM\n", err)
		} else {
			fmt.Fprintf(table, "the honest session in the end\t%d chunks, all receipts\tnone\n", s.victim.count())
		}
		return nil
	})
	return harmful, err
}
