package catalog

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrLocation says that a catalog's location cannot be used; the text says why and shows no password.
var ErrLocation = errors.New("catalog location")

// Location says where a catalog is.
type Location struct {
	postgres string // a URL; empty for SQLite
	path     string // of the SQLite database
	shown    string
	password bool
}

// ParseLocation reads sqlite:PATH, a plain PATH, or postgres://[user@][host][:port][/database][?parameters]. What a
// postgres URL leaves out comes from the PG* variables and ~/.pgpass.
func ParseLocation(s string) (Location, error) {
	scheme, rest, _ := strings.Cut(s, ":")
	switch {
	case scheme == "postgres" || scheme == "postgresql":
		return parsePostgres(s)
	case scheme == "sqlite":
		s = rest
	case strings.Contains(s, "://"):
		return Location{}, fmt.Errorf("%w: is neither sqlite:PATH nor postgres://HOST", ErrLocation)
	}
	if s == "" || strings.HasPrefix(s, "//") {
		return Location{}, fmt.Errorf("%w: sqlite: must be followed by the path of a file", ErrLocation)
	}
	return Location{path: s, shown: s}, nil
}

func parsePostgres(s string) (Location, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Location{}, fmt.Errorf("%w: is no URL", ErrLocation) // its text may hold the password
	}
	if u.Opaque != "" {
		return Location{}, fmt.Errorf("%w: postgres: must be followed by //", ErrLocation)
	}
	query := u.Query()
	_, inUser := u.User.Password()
	secret := inUser || query.Has("password") || query.Has("sslpassword")
	for _, name := range []string{"password", "sslpassword"} {
		query.Del(name)
	}
	shown := *u
	shown.RawQuery = query.Encode()
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return Location{postgres: s, shown: shown.String(), password: secret}, nil
}

// String shows the location without its password.
func (l Location) String() string { return l.shown }

// HasPassword reports whether a password is part of the location.
func (l Location) HasPassword() bool { return l.password }
