package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCatalogLocation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalog")
	if err := os.WriteFile(file, []byte("postgres://u:secret@h/db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "postgres://u:secret@h/db"
	for name, test := range map[string]struct {
		settings settings
		twin     string
		want     string // beginning with ! what the error says
	}{
		"default":                    {settings: settings{dataDir: "/d"}, want: "sqlite:/d/catalog.db"},
		"a path":                     {settings: settings{catalog: "sqlite:/x.db"}, want: "sqlite:/x.db"},
		"postgres":                   {settings: settings{catalog: "postgres://h/db"}, want: "postgres://h/db"},
		"a password in the flag":     {settings: settings{catalog: secret}, want: "!--catalog postgres://u@h/db holds a password"},
		"a password in the variable": {settings: settings{catalog: secret}, twin: secret, want: secret},
		"the flag wins":              {settings: settings{catalog: secret}, twin: "postgres://", want: "!--catalog postgres://u@h/db holds a password"},
		"a file":                     {settings: settings{catalogFile: file}, want: secret},
		"no file":                    {settings: settings{catalogFile: file + "x"}, want: "!--catalog-file"},
		"both":                       {settings: settings{catalog: "x", catalogFile: file}, want: "!--catalog and --catalog-file"},
		"another kind":               {settings: settings{catalog: "mysql://h"}, want: "!catalog location"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.settings.catalogLocation(func(name string) string { return map[string]string{catalogTwin: test.twin}[name] })
			if want, wrong := strings.CutPrefix(test.want, "!"); wrong {
				if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
