package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/recfleet/recfleet/coordinator/access"
)

// claims are what a token says, beside what every token must.
type claims map[string]any

const maxGroups = 1000

// meantFor reports whether the token was made for one of our clients.
func (c claims) meantFor(of, audiences []string) error {
	ours := func(client string) bool { return slices.Contains(audiences, client) }
	if !slices.ContainsFunc(of, ours) {
		return fmt.Errorf("token is for %.200q", of)
	}
	if party, ok := c["azp"].(string); ok && !ours(party) {
		return fmt.Errorf("token was given to %.200q", party)
	}
	return nil
}

// text returns who somebody is.
func (c claims) text(claim string) (string, error) {
	s, ok := c[claim].(string)
	switch {
	case !ok || s == "":
		return "", fmt.Errorf("token has no claim %q", claim)
	case len(s) > maxName || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("claim %q is no name", claim)
	case access.Reserved(s):
		return "", fmt.Errorf("claim %q has the name of something else: %.80q", claim, s)
	}
	if claim == "email" && c["email_verified"] != true && c["email_verified"] != "true" {
		return "", errors.New("the provider has not verified the email")
	}
	return s, nil
}

// list returns the groups; none where the token names none.
func (c claims) list(claim string) (found []string, err error) {
	switch v := c[claim].(type) {
	case nil:
	case string:
		found = []string{v}
	case []any:
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("claim %q is no list of names", claim)
			}
			found = append(found, s)
		}
	default:
		return nil, fmt.Errorf("claim %q is no list of names", claim)
	}
	if len(found) > maxGroups {
		return nil, fmt.Errorf("claim %q names %d groups, at most %d", claim, len(found), maxGroups)
	}
	return found, nil
}
