package hook

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// A configuration is read as it would be written again, or refused in one line that shows nothing of the token.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("address: h:1\ntoken: secret\nmeta:\n  a: b\nmax_spool_bytes: 5\nmode: grace\ngrace: 5m\n"))
	f.Add([]byte(`{"address":"h:1","token":["s3cret"],"meta":{"a":1}}`))
	f.Add([]byte("max_spool_bytes: 1e3"))
	f.Add([]byte("token: &x [*x]"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(dir, "agent.yaml")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(path)
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			return
		}
		if err := s.Validate(); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%q", err)
		}
		if err := s.Save(path); err != nil {
			t.Fatal(err)
		}
		again, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := json.Marshal(s)
		if after, _ := json.Marshal(again); !bytes.Equal(before, after) {
			t.Errorf("%s became %s", before, after)
		}
	})
}

// Metadata on the command line is one key and the rest of it, within the protocol's limits.
func FuzzAddMetadata(f *testing.F) {
	f.Add("a=b=c")
	f.Add("=")
	f.Add("a")
	f.Fuzz(func(t *testing.T, pair string) {
		var s Settings
		if err := s.AddMetadata(pair); err != nil {
			if len(err.Error()) > 4*len(pair)+100 || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			return
		}
		for k, v := range s.Metadata {
			if k+"="+v != pair || k == "" || len(k) > maxKey || len(v) > maxValue {
				t.Errorf("%q is %q, %q", pair, k, v)
			}
		}
	})
}

// What an agent says once is read back, and nothing is taken for it that has no end.
func FuzzReadReady(f *testing.F) {
	good, err := json.Marshal(Ready{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(good, '\n'))
	f.Add(good)
	f.Add([]byte("[]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, _, whole := bytes.Cut(raw, []byte("\n"))
		if ready, err := readReady(bytes.NewReader(raw)); err == nil && (!whole || !json.Valid(line)) {
			t.Errorf("%q is %+v", raw, ready)
		}
	})
}

// The kernel's table names the process that has a file's lock, whatever else is in it.
func FuzzHolderIn(f *testing.F) {
	f.Add("1: FLOCK  ADVISORY  WRITE 77 08:01:5 0 EOF\n", uint64(5))
	f.Add("1: -> FLOCK  ADVISORY  WRITE 77 08:01:5 0 EOF\n2: POSIX ADVISORY READ 3 0:1:5 0 EOF", uint64(5))
	f.Add("1: FLOCK ADVISORY WRITE x 0:5\n", uint64(5))
	f.Fuzz(func(t *testing.T, table string, inode uint64) {
		if pid := holderIn(table, inode); pid < 0 || pid != 0 && !strings.Contains(table, strconv.Itoa(pid)) {
			t.Errorf("%q: held by %d", table, pid)
		}
	})
}
