package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	tokenLife                  = 90 * 24 * time.Hour
	minTokenLife, maxTokenLife = time.Minute, 10 * 366 * 24 * time.Hour
)

// errNotGiven says that somebody wants to give what it does not have.
var errNotGiven = errors.New("only roles that you have yourself can be given")

// accessService says who is who.
type accessService struct {
	recfleetv1.UnimplementedAccessServiceServer
	catalog *catalog.Catalog
	book    func() *access.Book
	signIn  *recfleetv1.GetSignInResponse
	ledger  ledger
	logger  hclog.Logger
}

// GetSignIn says how people sign in.
func (s *accessService) GetSignIn(context.Context, *recfleetv1.GetSignInRequest) (*recfleetv1.GetSignInResponse, error) {
	if s.signIn == nil {
		return &recfleetv1.GetSignInResponse{}, nil
	}
	return s.signIn, nil
}

// WhoAmI says who the caller is.
func (s *accessService) WhoAmI(ctx context.Context, _ *recfleetv1.WhoAmIRequest) (*recfleetv1.WhoAmIResponse, error) {
	who := access.Caller(ctx)
	answer := &recfleetv1.WhoAmIResponse{Name: who.Name, By: string(who.By), Roles: who.Roles, ExpireTime: timeToProto(who.Expires)}
	for _, g := range who.Grants {
		one := &recfleetv1.Grant{}
		for _, r := range g.Rights {
			one.Rights = append(one.Rights, string(r))
		}
		for _, p := range g.Scope.Parts {
			one.Scopes = append(one.Scopes, &recfleetv1.Scope{Stacks: p.Stacks, Fleets: p.Fleets, Users: p.Users, Groups: p.Groups})
		}
		answer.Grants = append(answer.Grants, one)
	}
	return answer, nil
}

// CreateToken makes a token.
func (s *accessService) CreateToken(ctx context.Context, r *recfleetv1.CreateTokenRequest) (*recfleetv1.CreateTokenResponse, error) {
	now := time.Now()
	expires, err := s.checkCreateToken(r, now)
	if err != nil {
		return nil, err
	}
	who := access.Caller(ctx)
	secret := access.TokenPrefix + strings.ToLower(rand.Text()+rand.Text())
	t := catalog.Token{
		ID: strings.ToLower(rand.Text()), Name: r.GetName(), Hash: chunk.Sum([]byte(secret)), Roles: slices.Compact(slices.Sorted(slices.Values(r.GetRoles()))),
		Owner: who.Person, By: who.Name, Created: now, Expires: expires,
	}
	reason := fmt.Sprintf("roles %s until %s", strings.Join(t.Roles, ","), expires.UTC().Format(time.RFC3339))
	if err := s.ledger.do(ctx, deed{"token.create", t.Name, oneLine(reason, maxReason)}, func(ctx context.Context) error {
		if !who.MayGive(append(s.book().OfToken(t.Name), t.Roles...)) {
			return errNotGiven
		}
		return precondition(s.catalog.CreateToken(ctx, t))
	}); err != nil {
		return nil, err
	}
	s.logger.Info("token created", "token_id", t.ID, "name", t.Name, "roles", t.Roles, "by", t.By)
	return &recfleetv1.CreateTokenResponse{Token: tokenToProto(t), Secret: secret}, nil
}

// ListTokens returns one page.
func (s *accessService) ListTokens(ctx context.Context, r *recfleetv1.ListTokensRequest) (*recfleetv1.ListTokensResponse, error) {
	if err := page(r.GetPageSize(), r.GetPageToken()); err != nil {
		return nil, err
	}
	found, next, err := s.catalog.ListTokens(ctx, r.GetIncludeRevoked(), sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListTokensResponse{NextPageToken: next}
	for _, t := range found {
		answer.Tokens = append(answer.Tokens, tokenToProto(t))
	}
	return answer, nil
}

// RevokeToken ends a token.
func (s *accessService) RevokeToken(ctx context.Context, r *recfleetv1.RevokeTokenRequest) (*recfleetv1.RevokeTokenResponse, error) {
	if err := matches("token_id", r.GetTokenId(), randomID); err != nil {
		return nil, err
	}
	var t catalog.Token
	if err := s.ledger.do(ctx, deed{action: "token.revoke", object: r.GetTokenId()}, func(ctx context.Context) error {
		err := s.catalog.RevokeToken(ctx, r.GetTokenId(), access.Caller(ctx).Name, time.Now())
		if err == nil {
			t, err = s.catalog.TokenByID(ctx, r.GetTokenId())
		}
		return err
	}); err != nil {
		return nil, err
	}
	s.logger.Info("token revoked", "token_id", t.ID, "name", t.Name, "by", t.RevokeBy)
	return &recfleetv1.RevokeTokenResponse{Token: tokenToProto(t)}, nil
}

func (s *accessService) checkCreateToken(r *recfleetv1.CreateTokenRequest, now time.Time) (expires time.Time, err error) {
	name := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	if err := matches("name", r.GetName(), name); err != nil {
		return expires, err
	}
	if len(r.GetRoles()) > maxEntries {
		return expires, wrong("roles", "are %d, at most %d", len(r.GetRoles()), maxEntries)
	}
	known := s.book().Roles()
	for i, role := range r.GetRoles() {
		if !slices.Contains(known, role) {
			return expires, wrong(fmt.Sprintf("roles[%d]", i), "is not a role; there are %s", oneLine(strings.Join(known, ", "), maxReason))
		}
	}
	if r.GetExpireTime() == nil {
		return now.Add(tokenLife), nil
	}
	if err := timestamp("expire_time", r.GetExpireTime()); err != nil {
		return expires, err
	}
	expires = r.GetExpireTime().AsTime()
	if d := expires.Sub(now); d < minTokenLife || d > maxTokenLife {
		return expires, wrong("expire_time", "is not within a minute and ten years from now")
	}
	return expires, nil
}

func tokenToProto(t catalog.Token) *recfleetv1.Token {
	return &recfleetv1.Token{
		Id: t.ID, Name: t.Name, Roles: t.Roles, CreateBy: t.By, CreateTime: timeToProto(t.Created), ExpireTime: timeToProto(t.Expires),
		RevokeTime: timeToProto(t.Revoked), RevokeBy: t.RevokeBy,
	}
}
