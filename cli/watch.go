package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"sigs.k8s.io/yaml"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Pauses between a watch that broke off and the next try.
const (
	firstRetry   = 500 * time.Millisecond
	longestRetry = 10 * time.Second
)

// redraws is how often a table on a terminal is written anew, so that its times stay true.
const redraws = 5 * time.Second

func (a *app) watchSessions() *cobra.Command {
	var once bool
	c := &cobra.Command{Use: "watch", Short: "Show sessions, and go on showing what changes", Args: noArgs}
	c.Long = `Show the sessions that match, and go on showing each that changes or comes to match, until it is interrupted, which is
exit code 0. A table on a terminal is redrawn, elsewhere a row is added for each change; -o json prints an object a line and
-o yaml a document for each: the session, and "gone" where it does not match any more. After a break of the connection the
watch goes on by itself, and all sessions that match come again.` + filterHelp
	f := a.sessionFilter(c)
	c.RunE = a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
		r, err := f.list()
		if err != nil {
			return err
		}
		return a.watch(ctx, conn, r, once)
	})
	a.outputFlags(c)
	c.Flags().BoolVar(&once, "no-retry", false, "end where the connection breaks, with exit code 5")
	return c
}

// watch follows sessions until ctx ends.
func (a *app) watch(ctx context.Context, conn *grpc.ClientConn, r *recfleetv1.ListSessionsRequest, once bool) error {
	show := a.watchView()
	pause := firstRetry
	for begun := false; ; {
		seen, err := a.follow(ctx, conn, r, show)
		begun = begun || seen
		switch code := code(err); {
		case ctx.Err() != nil:
			return errEnded
		case once, !begun, code != codes.Unavailable && code != codes.Internal && code != codes.Unknown && code != codes.Aborted:
			return err
		}
		if seen {
			pause = firstRetry
		}
		write(a.Stderr, "recctl: %s; trying again\n", oneLine(err))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errEnded
		}
		pause = min(2*pause, longestRetry)
	}
}

// errEnded means that the person who watched has seen enough.
var errEnded = errors.New("ended")

// follow makes one call and shows what comes until it ends, which is always with an error; seen reports whether it was
// answered.
func (a *app) follow(ctx context.Context, conn *grpc.ClientConn, r *recfleetv1.ListSessionsRequest, show watchView) (seen bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	call, err := recfleetv1.NewSessionServiceClient(conn).WatchSessions(ctx, &recfleetv1.WatchSessionsRequest{Filter: r})
	if err != nil {
		cancel()
		return false, failed(err, "watch sessions")
	}
	show.begin()
	changes := make(chan *recfleetv1.WatchSessionsResponse)
	var ended error
	go func() {
		defer close(changes)
		for {
			m, err := call.Recv()
			if err != nil {
				ended = err
				return
			}
			select {
			case changes <- m:
			case <-ctx.Done():
				ended = ctx.Err()
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range changes { // until the goroutine is done
		}
	}()
	tick := time.NewTicker(redraws)
	defer tick.Stop()
	for {
		select {
		case m, ok := <-changes:
			if !ok && errors.Is(ended, io.EOF) {
				ended = errStreamEnded
			}
			if !ok {
				return seen, failed(ended, "watch sessions")
			}
			seen = true
			if err := show.change(m); err != nil {
				return seen, err
			}
		case <-tick.C:
			if err := show.tick(); err != nil {
				return seen, err
			}
		}
	}
}

// watchView shows changes.
type watchView interface {
	// begin says that all sessions will come again.
	begin()
	change(m *recfleetv1.WatchSessionsResponse) error
	tick() error
}

func (a *app) watchView() watchView {
	switch {
	case a.out == asJSON || a.out == asYAML:
		return objectLines{a}
	case a.StdoutTerminal && a.TerminalSize != nil:
		return &redrawn{app: a}
	}
	return &appended{app: a}
}

// objectLines writes each change as an object.
type objectLines struct{ app *app }

func (objectLines) begin() {}

func (objectLines) tick() error { return nil }

func (o objectLines) change(m *recfleetv1.WatchSessionsResponse) error {
	raw, err := marshal(m, "")
	if err == nil && o.app.out == asYAML {
		if raw, err = yaml.JSONToYAML(raw); err == nil {
			raw = append([]byte("---\n"), raw...)
		}
	}
	if err != nil {
		return err
	}
	_, err = o.app.Stdout.Write(raw)
	return err
}

// appended writes a row for each change.
type appended struct {
	app *app
	t   *tables
}

func (*appended) begin() {}

func (*appended) tick() error { return nil }

func (p *appended) change(m *recfleetv1.WatchSessionsResponse) error {
	fresh := p.app.newTables()
	first := p.t == nil
	if !first {
		fresh.widths = p.t.widths
	}
	p.t = fresh
	columns := append([]column[*recfleetv1.WatchSessionsResponse]{
		{"SEEN", false, text(func(*recfleetv1.WatchSessionsResponse) string { return fresh.exact(newTimestamp(fresh.now)) })},
		{"CHANGE", false, text(func(m *recfleetv1.WatchSessionsResponse) string {
			return map[bool]string{true: "gone", false: "is"}[m.GetGone()]
		})},
	}, watched(sessionColumns(fresh))...)
	header, rows := grid(fresh, []*recfleetv1.WatchSessionsResponse{m}, columns)
	if first {
		rows = append([][]cell{header}, rows...)
	}
	fresh.more(rows)
	_, err := p.app.Stdout.Write(fresh.out.Bytes())
	return err
}

// watched makes columns of sessions those of their changes.
func watched(columns []column[*recfleetv1.Session]) []column[*recfleetv1.WatchSessionsResponse] {
	var out []column[*recfleetv1.WatchSessionsResponse]
	for _, c := range columns {
		out = append(out, column[*recfleetv1.WatchSessionsResponse]{c.name, c.wide, func(m *recfleetv1.WatchSessionsResponse) cell { return c.of(m.GetSession()) }})
	}
	return out
}

// redrawn shows the sessions that match as one table on a terminal.
type redrawn struct {
	app      *app
	sessions []*recfleetv1.Session
	lines    int // that were written and are to be replaced
}

func (r *redrawn) begin() { r.sessions = nil }

func (r *redrawn) tick() error { return r.draw() }

func (r *redrawn) change(m *recfleetv1.WatchSessionsResponse) error {
	at := slices.IndexFunc(r.sessions, func(s *recfleetv1.Session) bool { return s.GetId() == m.GetSession().GetId() })
	switch {
	case at >= 0 && m.GetGone():
		r.sessions = slices.Delete(r.sessions, at, at+1)
	case at >= 0:
		r.sessions[at] = m.GetSession()
	case !m.GetGone():
		r.sessions = append(r.sessions, m.GetSession())
		slices.SortStableFunc(r.sessions, func(a, b *recfleetv1.Session) int {
			return b.GetStartTime().AsTime().Compare(a.GetStartTime().AsTime())
		})
	}
	return r.draw()
}

// draw writes the table over the one before, no more than fits on the terminal.
func (r *redrawn) draw() error {
	t := r.app.newTables()
	t.color = false // a line that is cut must not be cut within a code
	width, height := r.app.TerminalSize()
	width, height = max(width, 20), max(height, 4)
	shown := r.sessions[:min(len(r.sessions), height-3)]
	list(t, shown, sessionColumns(t))
	if more := len(r.sessions) - len(shown); more > 0 {
		write(&t.out, "and %d more\n", more)
	}
	var out bytes.Buffer
	if r.lines > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\r\x1b[J", r.lines)
	}
	lines := strings.Split(strings.TrimSuffix(t.out.String(), "\n"), "\n")
	for _, line := range lines {
		if uniseg.StringWidth(line) >= width {
			line = shorten(line, width-1)
		}
		out.WriteString(line + "\n")
	}
	r.lines = len(lines)
	_, err := r.app.Stdout.Write(out.Bytes())
	return err
}
