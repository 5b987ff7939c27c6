package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	// completionTime bounds what a person waits after pressing the tab key.
	completionTime = 2 * time.Second
	completions    = 100
	// wordStart is how much of a word the coordinator needs to look for its beginning.
	wordStart = 3
)

// completion is the type of cobra's functions that complete.
type completion = func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// suggestion is something that may be typed, and what it is.
type suggestion struct{ word, about string }

// complete makes a completion of a function that asks the coordinator. Whatever goes wrong, nothing is printed.
func (a *app) complete(f func(ctx context.Context, conn *grpc.ClientConn, args []string, typed string) ([]suggestion, error)) completion {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		failed := cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
		if err := a.choose(c); err != nil {
			return nil, failed
		}
		conn, err := a.dial()
		if err != nil {
			return nil, failed
		}
		defer conn.Close()
		a.timeout = min(a.timeout, completionTime)
		found, err := f(c.Context(), conn, args, typed)
		if err != nil {
			return nil, failed
		}
		var out []string
		for _, s := range found {
			if strings.HasPrefix(s.word, typed) && len(out) < completions {
				out = append(out, cobra.CompletionWithDesc(s.word, escape(s.about)))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// takesFile has files offered for flags.
func takesFile(c *cobra.Command, flags ...string) {
	for _, flag := range flags {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
	}
}

// first makes a completion one of the first argument.
func first(f completion) completion {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(c, args, typed)
	}
}

// completeSessions offers the newest sessions, and older ones where none of those begins as was typed.
func (a *app) completeSessions() completion {
	return a.complete(func(ctx context.Context, conn *grpc.ClientConn, _ []string, typed string) ([]suggestion, error) {
		var found []suggestion
		requests := []*recfleetv1.ListSessionsRequest{{}}
		if len(typed) >= wordStart && chunk.ValidSession(typed) {
			requests = append(requests, &recfleetv1.ListSessionsRequest{Text: typed + "*"})
		}
		for _, r := range requests {
			sessions, err := a.sessionPages(ctx, conn, r, completions)
			if err != nil {
				return nil, err
			}
			for _, s := range sessions {
				if chunk.ValidSession(s.GetId()) && strings.HasPrefix(s.GetId(), typed) {
					found = append(found, suggestion{s.GetId(), fmt.Sprintf("%s %s %s", a.clock().exact(s.GetStartTime()), stateName(s.GetState()), s.GetUser())})
				}
			}
			if len(found) > 0 {
				break
			}
		}
		return found, nil
	})
}

// completeSegments offers the segments of the session that is there already.
func (a *app) completeSegments() completion {
	return a.complete(func(ctx context.Context, conn *grpc.ClientConn, args []string, _ string) ([]suggestion, error) {
		if len(args) == 0 {
			return nil, nil
		}
		s, err := a.session(ctx, conn, args[0])
		if err != nil {
			return nil, err
		}
		var found []suggestion
		for _, g := range s.GetSegments() {
			found = append(found, suggestion{strconv.Itoa(int(g.GetNumber())), a.clock().exact(g.GetStartTime())})
		}
		return found, nil
	})
}

func (a *app) completeJobs() completion {
	return a.complete(func(ctx context.Context, conn *grpc.ClientConn, _ []string, _ string) ([]suggestion, error) {
		jobs, err := a.jobPages(ctx, conn, &recfleetv1.ListJobsRequest{}, completions)
		var found []suggestion
		for _, j := range jobs {
			if checkJob(j.GetId()) == nil {
				found = append(found, suggestion{j.GetId(), jobStateName(j.GetState()) + " " + j.GetDetail()})
			}
		}
		return found, err
	})
}

func (a *app) completeEncoders() completion {
	return a.complete(func(ctx context.Context, conn *grpc.ClientConn, _ []string, _ string) ([]suggestion, error) {
		encoders, err := a.allEncoders(ctx, conn)
		var found []suggestion
		for _, e := range encoders {
			if checkEncoder(e.GetId()) == nil {
				found = append(found, suggestion{e.GetId(), e.GetHost()})
			}
		}
		return found, err
	})
}

// completeContext offers the contexts, and files beside them.
func (a *app) completeContext(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return slices.Sorted(maps.Keys(c.Contexts)), cobra.ShellCompDirectiveDefault
}

func (a *app) completeContextArgument(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := a.completeContext(c, args, typed)
	return names, cobra.ShellCompDirectiveNoFileComp
}
