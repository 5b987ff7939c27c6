package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

var (
	tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	tokenID   = regexp.MustCompile(`^[a-z0-9]{26}$`)
)

func (a *app) tokens() *cobra.Command {
	return noun("tokens", "Make, list and revoke the tokens of scripts", a.createToken(), a.listTokens(), a.revokeToken())
}

func checkToken(name string) error {
	if !tokenName.MatchString(name) {
		return usageError{fmt.Errorf("TOKEN: %s cannot be a token's name or id: those are 1 to 64 letters, digits, dots, underscores and hyphens", quote(name))}
	}
	return nil
}

// lifeFlag is a flag of a duration that may be in days.
type lifeFlag struct{ to *time.Duration }

func (lifeFlag) String() string { return "90d" }

func (lifeFlag) Type() string { return "DURATION" }

func (f lifeFlag) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		*f.to = time.Duration(n) * 24 * time.Hour
		if err == nil && n > 0 {
			return nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		*f.to = d
		return nil
	}
	return errors.New("is not a duration such as 12h or 90d")
}

func (a *app) createToken() *cobra.Command {
	var roles []string
	life := 90 * 24 * time.Hour
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a token for a script and print it, this once", Args: one("NAME", checkToken),
		Long: "Make a token for a script and print it, this once: the coordinator keeps only its hash. The token has the roles of --role and\n" +
			"those that the access file gives its name. Whoever makes it can give only roles of its own, and answers for what is done with it.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewAccessServiceClient(conn).CreateToken(ctx, &recfleetv1.CreateTokenRequest{
				Name: args[0], Roles: roles, ExpireTime: newTimestamp(a.Now().Add(life)),
			})
			if err != nil {
				return failed(err, "create token %s", args[0])
			}
			if a.out == asTable || a.out == asWide {
				write(a.Stderr, "token %s holds until %s; this is shown once:\n", answer.GetToken().GetName(), answer.GetToken().GetExpireTime().AsTime().Format(time.RFC3339))
				write(a.Stdout, "%s\n", answer.GetSecret())
				return nil
			}
			return a.print(answer, nil)
		}),
	}
	a.outputFlags(c)
	c.Flags().StringSliceVar(&roles, "role", nil, "`ROLE` of the token; may be repeated")
	c.Flags().Var(lifeFlag{&life}, "expires-in", "how long the token holds, as 12h or 365d")
	return c
}

func (a *app) listTokens() *cobra.Command {
	var all bool
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List tokens, without their secrets", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			found, err := a.tokenPages(ctx, conn, all, limit)
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListTokensResponse{Tokens: found}, func(t *tables) { list(t, found, tokenColumns(t)) })
		}),
	}
	a.outputFlags(c)
	c.Flags().BoolVar(&all, "revoked", false, "also those that are revoked")
	limitVar(c.Flags(), &limit, 0)
	return c
}

func (a *app) tokenPages(ctx context.Context, conn *grpc.ClientConn, all bool, limit int) ([]*recfleetv1.Token, error) {
	client := recfleetv1.NewAccessServiceClient(conn)
	return pages(limit, func(size int32, token string) ([]*recfleetv1.Token, string, error) {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		page, err := client.ListTokens(ctx, &recfleetv1.ListTokensRequest{PageSize: size, PageToken: token, IncludeRevoked: all})
		return page.GetTokens(), page.GetNextPageToken(), failed(err, "list tokens")
	})
}

func tokenColumns(t *tables) []column[*recfleetv1.Token] {
	type tk = *recfleetv1.Token
	return []column[tk]{
		{"NAME", false, text(tk.GetName)},
		{"ROLES", false, text(func(v tk) string { return strings.Join(v.GetRoles(), ",") })},
		{"MADE BY", false, name(t, tk.GetCreateBy)},
		{"MADE", false, text(func(v tk) string { return t.time(v.GetCreateTime()) })},
		{"EXPIRES", false, text(func(v tk) string { return t.time(v.GetExpireTime()) })},
		{"REVOKED", true, text(func(v tk) string { return t.time(v.GetRevokeTime()) })},
		{"REVOKED BY", true, name(t, tk.GetRevokeBy)},
		{"ID", true, text(tk.GetId)},
	}
}

func (a *app) revokeToken() *cobra.Command {
	c := &cobra.Command{
		Use: "revoke TOKEN", Short: "End a token at once", Args: one("TOKEN", checkToken),
		Long: "End a token at once, named by its name or its id. It cannot be had back.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			id := args[0]
			found, err := a.tokenPages(ctx, conn, false, 0)
			if err != nil {
				return err
			}
			for _, t := range found {
				if t.GetName() == args[0] {
					id = t.GetId()
				}
			}
			if !tokenID.MatchString(id) {
				return notFoundError{fmt.Errorf("revoke token %s: there is none of this name", args[0])}
			}
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewAccessServiceClient(conn).RevokeToken(ctx, &recfleetv1.RevokeTokenRequest{TokenId: id})
			if err != nil {
				return failed(err, "revoke token %s", args[0])
			}
			return a.print(answer.GetToken(), func(t *tables) { list(t, []*recfleetv1.Token{answer.GetToken()}, tokenColumns(t)) })
		}),
	}
	a.outputFlags(c)
	return c
}
