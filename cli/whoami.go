package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (a *app) whoami() *cobra.Command {
	c := &cobra.Command{
		Use: "whoami", Short: "Say who the coordinator takes you for, and what you may do", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			who, err := recfleetv1.NewAccessServiceClient(conn).WhoAmI(ctx, &recfleetv1.WhoAmIRequest{})
			if err != nil {
				return failed(err, "ask who I am")
			}
			return a.print(who, func(t *tables) { whoTable(t, who) })
		}),
	}
	a.outputFlags(c)
	return c
}

func whoTable(t *tables, who *recfleetv1.WhoAmIResponse) {
	rows := [][]cell{
		plain("name", who.GetName()), plain("by", who.GetBy()), plain("roles", strings.Join(who.GetRoles(), ", ")),
	}
	rows = append(rows, plain("until", t.both(who.GetExpireTime())))
	for _, g := range who.GetGrants() {
		where := "everywhere"
		if len(g.GetScopes()) > 0 {
			var scopes []string
			for _, s := range g.GetScopes() {
				scopes = append(scopes, scopeText(s))
			}
			where = "where " + strings.Join(scopes, ", or ")
		}
		rows = append(rows, plain("may", strings.Join(g.GetRights(), ", ")+" "+where))
	}
	t.fields(rows)
}

func scopeText(s *recfleetv1.Scope) string {
	var all []string
	for _, field := range []struct {
		name   string
		values []string
	}{{"stack", s.GetStacks()}, {"fleet", s.GetFleets()}, {"user", s.GetUsers()}, {"group", s.GetGroups()}} {
		if len(field.values) > 0 {
			all = append(all, field.name+" "+strings.Join(field.values, "|"))
		}
	}
	return strings.Join(all, " and ")
}
