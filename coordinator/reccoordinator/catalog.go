package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// catalogTwin is the variable of --catalog, which may hold a password: it is not seen by every user of the host as the
// command line is.
const catalogTwin = "RECFLEET_CATALOG"

// catalogLocation returns where the catalog is.
func (s settings) catalogLocation(getenv func(string) string) (string, error) {
	at := s.catalog
	switch {
	case s.catalog != "" && s.catalogFile != "":
		return "", errors.New("--catalog and --catalog-file are both given")
	case s.catalogFile != "":
		raw, err := os.ReadFile(s.catalogFile)
		if err != nil {
			return "", fmt.Errorf("--catalog-file: %w", err)
		}
		at = strings.TrimSpace(string(raw))
	case s.catalog == "":
		at = "sqlite:" + filepath.Join(s.dataDir, "catalog.db")
	}
	location, err := catalog.ParseLocation(at)
	if err != nil {
		return "", err
	}
	if s.catalog != "" && location.HasPassword() && getenv(catalogTwin) != s.catalog {
		return "", fmt.Errorf("--catalog %s holds a password, which everybody on this host could read; give it by %s, --catalog-file, PGPASSWORD or ~/.pgpass",
			location, catalogTwin)
	}
	return at, nil
}
