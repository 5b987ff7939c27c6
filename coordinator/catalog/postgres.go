package catalog

import (
	"database/sql/driver"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// connectTimeout holds where the URL has no connect_timeout.
const connectTimeout = 10 * time.Second

// connector takes a postgres:// URL; what it does not say comes from the PG* variables and ~/.pgpass. settings are the server's
// parameters for every connection; the URL's win.
func connector(url string, settings map[string]string) (driver.Connector, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err // it does not show the password
	}
	for name, value := range settings {
		if _, ok := config.RuntimeParams[name]; !ok {
			config.RuntimeParams[name] = value
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return stdlib.GetConnector(*config), nil
}

// passing reports whether an error of Postgres only says that transactions stood in each other's way: the same may succeed when
// it is done again.
func passing(err error) bool {
	const serialization, deadlock = "40001", "40P01"
	var told *pgconn.PgError
	return errors.As(err, &told) && (told.Code == serialization || told.Code == deadlock)
}

// severed reports whether a connection of Postgres has broken, and not whether none can be made.
func severed(err error) bool {
	var refused *pgconn.ConnectError
	return !errors.As(err, &refused)
}
