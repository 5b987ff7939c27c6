package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// pollInterval is how often something is looked at whose end is waited for.
const pollInterval = time.Second

// sessionOrder is a command that changes one session and prints it.
func (a *app) sessionOrder(use, short, long string, do func(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error)) *cobra.Command {
	c := &cobra.Command{
		Use: use + " SESSION", Short: short, Long: long, Args: one("SESSION", checkSession), ValidArgsFunction: first(a.completeSessions()),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			s, err := do(ctx, conn, args[0])
			if err != nil {
				return err
			}
			return a.print(s, func(t *tables) { sessionTable(t, []*recfleetv1.Session{s}) })
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) stopSession() *cobra.Command {
	var (
		reason      string
		wait        bool
		waitTimeout time.Duration
	)
	c := a.sessionOrder("stop", "Stop the recording of a session",
		"Stop the recording of a session. The order reaches the instance within seconds; --wait waits until the recording\n"+
			"has ended there (encoding may still go on). Stopping a session that has ended changes nothing.",
		func(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error) {
			callCtx, cancel := a.deadline(ctx)
			answer, err := recfleetv1.NewSessionServiceClient(conn).StopSession(callCtx, &recfleetv1.StopSessionRequest{SessionId: id, Reason: reason})
			cancel()
			if err != nil || !wait {
				return answer.GetSession(), failed(err, "stop session %s", id)
			}
			return a.awaitEnd(ctx, conn, id, waitTimeout)
		})
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the session's record")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the recording has ended on the instance")
	c.Flags().DurationVar(&waitTimeout, "wait-timeout", 2*time.Minute, "longest wait")
	return c
}

// awaitEnd polls until the session is not recorded any more.
func (a *app) awaitEnd(ctx context.Context, conn *grpc.ClientConn, id string, timeout time.Duration) (*recfleetv1.Session, error) {
	var s *recfleetv1.Session
	over, err := a.await(ctx, timeout, func() (done bool, state string, err error) {
		s, err = a.session(ctx, conn, id)
		return !live(s), stateName(s.GetState()), err
	})
	if err == nil && !over {
		err = fmt.Errorf("stop session %s: ordered, but it is still %s after %v", id, stateName(s.GetState()), timeout)
	}
	return s, err
}

// live reports whether a session is still being recorded.
func live(s *recfleetv1.Session) bool {
	return s.GetState() == recfleetv1.SessionState_SESSION_STATE_STARTING || s.GetState() == recfleetv1.SessionState_SESSION_STATE_RECORDING
}

// await looks once a second until look is done, which it reports, or the time is over. A terminal shows the state meanwhile.
func (a *app) await(ctx context.Context, timeout time.Duration, look func() (done bool, state string, err error)) (bool, error) {
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	spinner := a.spinner()
	defer spinner.Close()
	for {
		done, state, err := look()
		if done || err != nil {
			return done, err
		}
		spinner.show(state)
		select {
		case <-tick.C:
		case <-expired.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (a *app) holdSession() *cobra.Command {
	var reason string
	c := a.sessionOrder("hold", "Keep a session's recordings from being deleted",
		"Keep a session's recordings from being deleted by anybody, retention included, until they are released. Of several\n"+
			"holds the first one's reason stays.",
		func(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error) {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewSessionServiceClient(conn).HoldSession(ctx, &recfleetv1.HoldSessionRequest{SessionId: id, Reason: reason})
			return answer.GetSession(), failed(err, "hold session %s", id)
		})
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the session's record")
	return c
}

func (a *app) releaseSession() *cobra.Command {
	var reason string
	c := a.sessionOrder("release", "End the hold on a session's recordings", "End the hold on a session's recordings: retention takes its course again.",
		func(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error) {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewSessionServiceClient(conn).ReleaseSession(ctx, &recfleetv1.ReleaseSessionRequest{SessionId: id, Reason: reason})
			return answer.GetSession(), failed(err, "release session %s", id)
		})
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the audit log")
	return c
}

func (a *app) deleteSession() *cobra.Command {
	var (
		reason string
		yes    bool
	)
	c := a.sessionOrder("delete", "Delete a session's recordings",
		"Delete a session's recordings and everything else of it in the archive, for good; what the catalog knows of it stays.\n"+
			"It asks first; --yes says so beforehand, and is needed where there is no terminal to ask on. A session that is held or\n"+
			"not over is not deleted.",
		func(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error) {
			if !yes {
				if err := a.confirmDeletion(ctx, conn, id); err != nil {
					return nil, err
				}
			}
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewSessionServiceClient(conn).DeleteSession(ctx, &recfleetv1.DeleteSessionRequest{SessionId: id, Reason: reason})
			return answer.GetSession(), failed(err, "delete session %s", id)
		})
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the session's record")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

var errNotConfirmed = errors.New("not confirmed; nothing was deleted")

// confirmDeletion asks a person on a terminal.
func (a *app) confirmDeletion(ctx context.Context, conn *grpc.ClientConn, id string) error {
	if a.OpenTerminal == nil || !a.StderrTerminal {
		return usageError{errors.New("--yes: is needed where there is no terminal to ask on; nothing was deleted")}
	}
	s, err := a.session(ctx, conn, id)
	if err != nil {
		return err
	}
	terminal, err := a.OpenTerminal()
	if err != nil {
		return usageError{fmt.Errorf("--yes: is needed where there is no terminal to ask on; nothing was deleted: %w", err)}
	}
	defer terminal.Close()
	if d, ok := terminal.(interface{ SetReadDeadline(time.Time) error }); ok {
		defer context.AfterFunc(ctx, func() { _ = d.SetReadDeadline(time.Unix(1, 0)) })()
	}
	write(a.Stderr, "Delete all recordings of session %s for good (user %s, started %s, %d segments, %s)? Type yes: ",
		id, escape(shorten(escape(s.GetUser()), longestName)), a.clock().both(s.GetStartTime()), s.GetSegmentCount(), bytesText(s.GetArchivedBytes()))
	answer, err := bufio.NewReader(io.LimitReader(terminal, 1024)).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("read the answer: %w", err)
	case !strings.EqualFold(strings.TrimSpace(answer), "yes"):
		return errNotConfirmed
	}
	return nil
}
