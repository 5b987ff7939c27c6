package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	pageSize = 200
	// pollInterval is how often a session is looked at while its end is waited for.
	pollInterval = time.Second
	// completionTime bounds what a person waits after pressing the tab key.
	completionTime = 2 * time.Second
	completions    = 100
)

func (a *app) sessions() *cobra.Command {
	return noun("sessions", "Find and stop sessions", a.listSessions(), a.getSession(), a.stopSession())
}

func (a *app) listSessions() *cobra.Command {
	var (
		out     format
		states  []string
		limit   int
		request recfleetv1.ListSessionsRequest
	)
	c := &cobra.Command{
		Use: "list", Short: "List sessions, the newest first", Args: cobra.NoArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			if limit < 0 {
				return usageError{fmt.Errorf("limit %d is negative", limit)}
			}
			for _, name := range states {
				state, err := parseState(name)
				if err != nil {
					return usageError{err}
				}
				request.States = append(request.States, state)
			}
			all, err := a.sessionPages(ctx, conn, &request, limit)
			if err != nil {
				return err
			}
			return a.print(out, all, func(t *tables) { sessionTable(t, all.GetSessions()) })
		}),
	}
	out.flag(c)
	f := c.Flags()
	f.StringSliceVar(&states, "state", nil, "only sessions in this `STATE`; may be repeated")
	f.StringVar(&request.User, "user", "", "only sessions of this `USER`")
	f.StringVar(&request.Stack, "stack", "", "only sessions of this `STACK`")
	f.StringVar(&request.Fleet, "fleet", "", "only sessions of this `FLEET`")
	f.StringVar(&request.Instance, "instance", "", "only sessions on this `INSTANCE`")
	f.IntVar(&limit, "limit", 0, "at most this many; 0 for all")
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// sessionPages follows the pages until limit sessions are there, 0 meaning all.
func (a *app) sessionPages(ctx context.Context, conn *grpc.ClientConn, r *recfleetv1.ListSessionsRequest, limit int) (*recfleetv1.ListSessionsResponse, error) {
	client, all := recfleetv1.NewSessionServiceClient(conn), &recfleetv1.ListSessionsResponse{}
	for {
		r.PageSize = pageSize
		if limit > 0 {
			r.PageSize = int32(min(pageSize, limit-len(all.GetSessions())))
		}
		callCtx, cancel := a.deadline(ctx)
		page, err := client.ListSessions(callCtx, r)
		cancel()
		if err != nil {
			return nil, failed(err, "list sessions")
		}
		all.Sessions = append(all.Sessions, page.GetSessions()...)
		if limit > 0 && len(all.GetSessions()) >= limit {
			all.Sessions = all.Sessions[:limit]
			return all, nil
		}
		if page.GetNextPageToken() == "" {
			return all, nil
		}
		r.PageToken = page.GetNextPageToken()
	}
}

func (a *app) getSession() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use: "get SESSION", Short: "Show one session with its epochs, segments and gaps", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.completeSession,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			s, err := a.session(ctx, conn, args[0])
			if err != nil {
				return err
			}
			return a.print(out, s, func(t *tables) { sessionDetails(t, s) })
		}),
	}
	out.flag(c)
	return c
}

func (a *app) stopSession() *cobra.Command {
	var (
		out         format
		reason      string
		wait        bool
		waitTimeout time.Duration
	)
	c := &cobra.Command{
		Use: "stop SESSION", Short: "Stop the recording of a session", Args: cobra.ExactArgs(1),
		Long: "Stop the recording of a session. The order reaches the instance within seconds; --wait waits until the recording\n" +
			"has ended there (encoding may still go on). Stopping a session that has ended changes nothing.",
		ValidArgsFunction: a.completeSession,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			if err := checkSession(args[0]); err != nil {
				return err
			}
			callCtx, cancel := a.deadline(ctx)
			answer, err := recfleetv1.NewSessionServiceClient(conn).StopSession(callCtx, &recfleetv1.StopSessionRequest{SessionId: args[0], Reason: reason})
			cancel()
			if err != nil {
				return failed(err, "stop session %s", args[0])
			}
			s := answer.GetSession()
			if wait {
				if s, err = a.awaitEnd(ctx, conn, args[0], waitTimeout); err != nil {
					return err
				}
			}
			return a.print(out, s, func(t *tables) { sessionTable(t, []*recfleetv1.Session{s}) })
		}),
	}
	out.flag(c)
	c.Flags().StringVar(&reason, "reason", "", "`TEXT` for the session's record")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the recording has ended on the instance")
	c.Flags().DurationVar(&waitTimeout, "wait-timeout", 2*time.Minute, "longest wait")
	return c
}

// awaitEnd polls until the session is not recorded any more.
func (a *app) awaitEnd(ctx context.Context, conn *grpc.ClientConn, id string, timeout time.Duration) (*recfleetv1.Session, error) {
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		s, err := a.session(ctx, conn, id)
		if err != nil {
			return nil, err
		}
		if st := s.GetState(); st != recfleetv1.SessionState_SESSION_STATE_STARTING && st != recfleetv1.SessionState_SESSION_STATE_RECORDING {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-expired.C:
			return nil, fmt.Errorf("stop session %s: ordered, but it is still %s after %v", id, stateName(s.GetState()), timeout)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *app) session(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error) {
	if err := checkSession(id); err != nil {
		return nil, err
	}
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	answer, err := recfleetv1.NewSessionServiceClient(conn).GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: id})
	if err != nil {
		return nil, failed(err, "get session %s", id)
	}
	return answer.GetSession(), nil
}

func checkSession(id string) error {
	if !chunk.ValidSession(id) {
		return usageError{fmt.Errorf("%q cannot be a session id: those are of a-z and 0-9", id)}
	}
	return nil
}

// completeSession offers the newest sessions' ids.
func (a *app) completeSession(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	conn, err := a.dial()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
	}
	defer conn.Close()
	a.timeout = min(a.timeout, completionTime)
	answer, err := a.sessionPages(c.Context(), conn, &recfleetv1.ListSessionsRequest{}, completions)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, s := range answer.GetSessions() {
		if chunk.ValidSession(s.GetId()) {
			ids = append(ids, cobra.CompletionWithDesc(s.GetId(), escape(fmt.Sprintf("%s %s %s", timeText(s.GetStartTime()), stateName(s.GetState()), s.GetUser()))))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
