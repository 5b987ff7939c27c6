package access

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/written"
	"github.com/recfleet/recfleet/docs"
)

// Bounds of how long an order waits for its approval.
const (
	defaultApproval          = 24 * time.Hour
	minApproval, maxApproval = time.Minute, 720 * time.Hour
)

// Book is an access file as it was read. It never changes. A nil Book knows the role admin and nobody who has it.
type Book struct {
	hash, version string
	roles         map[string]Grant
	users, groups map[string][]string // the roles that they have
	tokens        map[string][]string
	twoPerson     []Right
	approval      time.Duration
	reasoned      []Right
	provider      *Provider
}

// Provider is how people sign in by the word of another; see docs/access.schema.json.
type Provider struct {
	Issuer           string `json:"issuer"`
	ClientID         string `json:"client_id"`
	ClientSecretFile string `json:"client_secret_file"`
	RedirectURL      string `json:"redirect_url"`
	CLIClientID      string `json:"cli_client_id"`
	Audiences        names  `json:"audiences"`
	Scopes           names  `json:"scopes"`
	UserClaim        string `json:"user_claim"`
	GroupsClaim      string `json:"groups_claim"`
	CAFile           string `json:"ca_file"`
}

// names are one or a list of them.
type names []string

// UnmarshalJSON takes one or a list.
func (n *names) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*n = names{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(n))
}

// document is an access file as it is written; the schema holds what each field may be.
type document struct {
	Format    int             `json:"format"`
	Version   json.RawMessage `json:"version"`
	Roles     []writtenRole   `json:"roles"`
	Bindings  []binding       `json:"bindings"`
	TwoPerson twoPerson       `json:"two_person"`
	Reasons   reasons         `json:"reasons"`
	OIDC      *Provider       `json:"oidc"`
}

type writtenRole struct {
	Name   string         `json:"name"`
	Rights []Right        `json:"rights"`
	Scopes []writtenScope `json:"scopes"`
}

type writtenScope struct {
	Stack names `json:"stack"`
	Fleet names `json:"fleet"`
	User  names `json:"user"`
	Group names `json:"group"`
}

type binding struct {
	Roles  names `json:"roles"`
	Groups names `json:"groups"`
	Users  names `json:"users"`
	Tokens names `json:"tokens"`
}

type twoPerson struct {
	Rights  []Right `json:"rights"`
	Expires string  `json:"expires"`
}

type reasons struct {
	Required []Right `json:"required"`
}

// Schema returns the JSON Schema of access files.
func Schema() []byte { return docs.AccessSchema() }

// Parse reads an access file in YAML or JSON. The error is written.Errors where the file is at fault.
func Parse(raw []byte) (*Book, error) {
	var d document
	if err := written.Decode(raw, Schema(), &d); err != nil {
		return nil, err
	}
	b, problems := d.compile()
	if len(problems) > 0 {
		return nil, written.Located(raw, problems)
	}
	sum := sha256.Sum256(raw)
	b.hash = hex.EncodeToString(sum[:])
	return b, nil
}

// compile returns the book of a document that the schema has nothing against.
func (d document) compile() (*Book, []written.Found) {
	var problems []written.Found
	wrong := func(path []string, format string, args ...any) {
		problems = append(problems, written.Found{Path: path, Text: fmt.Sprintf(format, args...)})
	}
	b := &Book{
		version: versionText(d.Version), roles: map[string]Grant{}, users: map[string][]string{}, groups: map[string][]string{},
		tokens: map[string][]string{}, twoPerson: d.TwoPerson.Rights, approval: defaultApproval, reasoned: d.Reasons.Required,
		provider: d.OIDC,
	}
	for i, r := range d.Roles {
		at := []string{"roles", strconv.Itoa(i)}
		g, why := r.grant()
		_, known := b.roles[r.Name]
		switch {
		case r.Name == RoleAdmin:
			wrong(append(at, "name"), "%q is the role that is always there", r.Name)
		case known:
			wrong(append(at, "name"), "%q is already the name of a role", r.Name)
		case why != "":
			wrong(append(at, "rights"), "%s", why)
		}
		b.roles[r.Name] = g
	}
	for i, one := range d.Bindings {
		for _, role := range one.Roles {
			if _, ok := b.roles[role]; !ok && role != RoleAdmin {
				wrong([]string{"bindings", strconv.Itoa(i), "roles"}, "there is no role %q", role)
			}
		}
		for _, into := range []struct {
			names names
			roles map[string][]string
		}{{one.Groups, b.groups}, {one.Users, b.users}, {one.Tokens, b.tokens}} {
			for _, name := range into.names {
				into.roles[name] = append(into.roles[name], one.Roles...)
			}
		}
	}
	if text := d.TwoPerson.Expires; text != "" {
		var err error
		if b.approval, err = time.ParseDuration(text); err != nil || b.approval < minApproval || b.approval > maxApproval {
			wrong([]string{"two_person", "expires"}, "%q is not within %v to %v", text, minApproval, maxApproval)
		}
	}
	if p := d.OIDC; p != nil {
		p.complete()
		if u, err := url.Parse(p.Issuer); err != nil || u.Scheme == "http" && !loopback(u.Hostname()) {
			wrong([]string{"oidc", "issuer"}, "is not an https URL")
		}
		if p.CLIClientID == p.ClientID && p.ClientSecretFile != "" {
			wrong([]string{"oidc", "cli_client_id"}, "is the page's, which has a secret; recctl needs a public client of its own")
		}
	}
	return b, problems
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *Provider) complete() {
	if p.UserClaim == "" {
		p.UserClaim = "email"
	}
	if p.GroupsClaim == "" {
		p.GroupsClaim = "groups"
	}
	if p.Scopes == nil {
		p.Scopes = names{"profile", "email"}
	}
}

// grant is what a role is good for, or why it cannot be.
func (r writtenRole) grant() (Grant, string) {
	g := Grant{Rights: r.Rights, Scope: catalog.Scope{All: len(r.Scopes) == 0}}
	for _, s := range r.Scopes {
		g.Scope.Parts = append(g.Scope.Parts, catalog.Part{Stacks: s.Stack, Fleets: s.Fleet, Users: s.User, Groups: s.Group})
	}
	for _, right := range r.Rights {
		if len(r.Scopes) > 0 && !right.Scoped() {
			return g, fmt.Sprintf("%q is about the whole installation and goes with no scope: make it a role of its own", right)
		}
	}
	return g, ""
}

// versionText returns a version that is written as text or number.
func versionText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// Hash returns the SHA-256 of the file in hex; empty for none.
func (b *Book) Hash() string {
	if b == nil {
		return ""
	}
	return b.hash
}

// Version returns what the author calls this state of the file.
func (b *Book) Version() string {
	if b == nil {
		return ""
	}
	return b.version
}

// Roles returns the names of all roles, sorted.
func (b *Book) Roles() []string {
	all := []string{RoleAdmin}
	if b != nil {
		for name := range b.roles {
			all = append(all, name)
		}
	}
	return sorted(all)
}

// OfPerson returns the roles that a person has by its name and its groups.
func (b *Book) OfPerson(user string, groups []string) (roles []string) {
	if b == nil {
		return nil
	}
	roles = append(roles, b.users[user]...)
	for _, g := range groups {
		roles = append(roles, b.groups[g]...)
	}
	return sorted(roles)
}

// OfToken returns the roles that a token has by its name.
func (b *Book) OfToken(name string) []string {
	if b == nil {
		return nil
	}
	return sorted(b.tokens[name])
}

// Grants returns what roles are good for; one that is not in the book is good for nothing.
func (b *Book) Grants(roles []string) (all []Grant) {
	for _, name := range roles {
		if name == RoleAdmin {
			return Everything()
		}
		if b == nil {
			continue
		}
		if g, ok := b.roles[name]; ok {
			all = append(all, g)
		}
	}
	return all
}

// TwoPeople reports whether what needs a right needs a second person, and how long it waits for one.
func (b *Book) TwoPeople(r Right) (wait time.Duration, needed bool) {
	if b == nil || !slices.Contains(b.twoPerson, r) {
		return 0, false
	}
	return b.approval, true
}

// Provider returns by whose word people sign in; nil for nobody's.
func (b *Book) Provider() *Provider {
	if b == nil {
		return nil
	}
	return b.provider
}

func sorted(of []string) []string { return slices.Compact(slices.Sorted(slices.Values(of))) }
