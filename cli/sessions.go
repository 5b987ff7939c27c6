package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (a *app) sessions() *cobra.Command {
	return noun("sessions", "Find, watch, stop, hold and delete sessions", a.listSessions(), a.getSession(), a.watchSessions(), a.stopSession(),
		a.holdSession(), a.releaseSession(), a.deleteSession())
}

const filterHelp = `

Times are absolute (2026-09-03T12:12:00Z, 2026-09-03 12:12, 2026-09-03; of the local zone unless they say another), of today
(12:12), a stretch before now (90s, 2h, 3d, 1w, 1h30m), now, today or yesterday (yesterday 12:12).`

// filter is what selects sessions.
type filter struct {
	states  []string
	request recfleetv1.ListSessionsRequest
}

// sessionFilter adds the flags that select sessions.
func (a *app) sessionFilter(c *cobra.Command) *filter {
	f := &filter{}
	r, flags := &f.request, c.Flags()
	statesVar(c, &f.states, stateNames(), "only sessions in this `STATE`; may be repeated")
	filterVar(flags, &r.User, "user", maxName, "only sessions of this `USER`")
	filterVar(flags, &r.Stack, "stack", maxName, "only sessions of this `STACK`")
	filterVar(flags, &r.Fleet, "fleet", maxName, "only sessions of this `FLEET`")
	filterVar(flags, &r.Instance, "instance", maxName, "only sessions on this `INSTANCE`")
	filterVar(flags, &r.Text, "text", maxText, "only sessions with all of these `WORDS` in their id, names or metadata; a word's beginning and *\nstand for all that begin so")
	a.timeVar(flags, &r.StartedAfter, "started-after", "only sessions that started at this `TIME` or later")
	a.timeVar(flags, &r.StartedBefore, "started-before", "only sessions that started before this `TIME`")
	a.timeVar(flags, &r.EndedAfter, "ended-after", "only sessions that ended at this `TIME` or later")
	a.timeVar(flags, &r.EndedBefore, "ended-before", "only sessions that ended before this `TIME`")
	a.timeVar(flags, &r.ActiveAt, "active-at", "only sessions that were going on at this `TIME`")
	flags.BoolVar(&r.ShowDeleted, "show-deleted", false, "also sessions whose recordings were deleted")
	return f
}

// orders are what sessions can be ordered by.
func orders() []string {
	return []string{"start_time", "start_time desc", "end_time", "end_time desc", "user", "user desc"}
}

// list returns the request that the flags ask for.
func (f *filter) list() (*recfleetv1.ListSessionsRequest, error) {
	r := &f.request
	r.States = nil
	for _, word := range f.states {
		r.States = append(r.States, recfleetv1.SessionState(recfleetv1.SessionState_value[sessionStatePrefix+strings.ToUpper(word)]))
	}
	return r, errors.Join(
		inOrder(r.StartedAfter, "started-after", r.StartedBefore, "started-before"),
		inOrder(r.EndedAfter, "ended-after", r.EndedBefore, "ended-before"))
}

func (a *app) listSessions() *cobra.Command {
	var limit int
	c := &cobra.Command{Use: "list", Short: "List sessions, the newest first", Args: noArgs}
	c.Long = c.Short + "." + filterHelp
	f := a.sessionFilter(c)
	c.RunE = a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
		r, err := f.list()
		if err != nil {
			return err
		}
		sessions, err := a.sessionPages(ctx, conn, r, limit)
		if err != nil {
			return err
		}
		return a.print(&recfleetv1.ListSessionsResponse{Sessions: sessions}, func(t *tables) { sessionTable(t, sessions) })
	})
	a.outputFlags(c)
	limitVar(c.Flags(), &limit, 0)
	wordVar(c, &f.request.OrderBy, "order-by", orders(), "start_time, end_time or user; with \" desc\" the greatest first (default \"start_time desc\")")
	return c
}

// sessionPages follows the pages until limit sessions are there, 0 meaning all.
func (a *app) sessionPages(ctx context.Context, conn *grpc.ClientConn, r *recfleetv1.ListSessionsRequest, limit int) ([]*recfleetv1.Session, error) {
	client := recfleetv1.NewSessionServiceClient(conn)
	return pages(limit, func(size int32, token string) ([]*recfleetv1.Session, string, error) {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		r.PageSize, r.PageToken = size, token
		page, err := client.ListSessions(ctx, r)
		return page.GetSessions(), page.GetNextPageToken(), failed(err, "list sessions")
	})
}

func (a *app) getSession() *cobra.Command {
	c := &cobra.Command{
		Use: "get SESSION", Short: "Show one session with its epochs, segments and gaps", Args: one("SESSION", checkSession),
		ValidArgsFunction: first(a.completeSessions()),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			s, err := a.session(ctx, conn, args[0])
			if err != nil {
				return err
			}
			return a.print(s, func(t *tables) { sessionDetails(t, s) })
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) session(ctx context.Context, conn *grpc.ClientConn, id string) (*recfleetv1.Session, error) {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	answer, err := recfleetv1.NewSessionServiceClient(conn).GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: id})
	if err != nil {
		return nil, failed(err, "get session %s", id)
	}
	return answer.GetSession(), nil
}
