package platform

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func write(t *testing.T, root, path, content string, mode os.FileMode) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestReadsAppStreamsFiles(t *testing.T) {
	root := t.TempDir()
	write(t, root, profiles()[0], "#!/bin/sh\nexport AppStream_Stack_Name=designers\nexport AppStream_UserName=\"ann@example.com\"\nexport AppStream_Session_ID='s-1'\nPATH=/evil:$PATH\n", 0o644)
	write(t, root, profiles()[1], "export AppStream_Resource_Name=fleet-7\nexport AppStream_Resource_Type=fleet\nexport APPSTREAM_SESSION_CONTEXT='{\"record\": \"yes\"}'\nexport LD_PRELOAD=/x\nexport AppStream_Instance_Type=from-file\n", 0o644)
	got := Read(root, []string{"AppStream_Instance_Type=stream.standard.medium", "HOME=/root"})
	want := map[string]string{
		"AppStream_Stack_Name": "designers", "AppStream_UserName": "ann@example.com", "AppStream_Session_ID": "s-1",
		"AppStream_Resource_Name": "fleet-7", "AppStream_Resource_Type": "fleet", "APPSTREAM_SESSION_CONTEXT": `{"record": "yes"}`,
		"AppStream_Instance_Type": "stream.standard.medium", "stack": "designers", "fleet": "fleet-7",
	}
	if !maps.Equal(got.Metadata, want) || got.User != "ann@example.com" || len(got.PassedOver) != 1 {
		t.Errorf("told %v\nwant %v", got, want)
	}
}

func TestFilesThatCannotBeTrusted(t *testing.T) {
	root := t.TempDir()
	write(t, root, profiles()[0], "AppStream_UserName=mallory", 0o666)
	if got := Read(root, nil); got.User != "mallory" || got.Metadata[untrusted] != "/"+profiles()[0] {
		t.Errorf("told %v", got)
	}
	for name, place := range map[string]func(string) error{
		"large":  func(p string) error { return os.WriteFile(p, make([]byte, maxFile+1), 0o600) },
		"link":   func(p string) error { return os.Symlink("/etc/passwd", p) },
		"pipe":   func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"folder": func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		path := filepath.Join(root, profiles()[0])
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := place(path); err != nil {
			t.Fatal(err)
		}
		if got := Read(root, nil); len(got.Metadata) != 0 || len(got.PassedOver) != 1 {
			t.Errorf("%s: told %v", name, got)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "AppStream_%d=x\n", i)
	}
	many.WriteString("AppStream_Long=" + strings.Repeat("x", maxValue+1) + "\nAppStream_Bytes=\xff\n")
	_ = os.RemoveAll(filepath.Join(root, profiles()[0]))
	write(t, root, profiles()[0], many.String(), 0o600)
	if got := Read(root, nil); len(got.Metadata) != maxValues || len(got.PassedOver) != 100-maxValues+2 {
		t.Errorf("%d values, passed over %v", len(got.Metadata), got.PassedOver)
	}
}

func TestImageBuilderIsNoFleet(t *testing.T) {
	got := Read(t.TempDir(), []string{"AppStream_Resource_Name=b", "AppStream_Resource_Type=image-builder"})
	if got.Metadata["fleet"] != "" {
		t.Errorf("told %v", got)
	}
}

// Whatever is taken is what a shell would have made of it.
func TestParseAgreesWithAShell(t *testing.T) {
	for text, plain := range map[string]bool{
		`A=1`: true, `export A=1 B=2`: true, `A='a b'"c d"e\ f`: true, `A="x\"y\\z\$w\n"`: true, "A='two\nlines'": true,
		`A=1; export A`: true, `A=1 # comment`: true, `declare -x A="v"`: true, `A==x=`: true, "A=x\\\ny": true, `A=`: true,
		`A="a;b#c"`: true, `A=a#b`: true, "  A=1  ;  B=2 ": true, `export A`: true, "A='it'\\''s'": true, "A=ü": true,
		`A=$HOME`: false, `A="$(id)"`: false, "A=`id`": false, `A=1 id`: false, `id`: false, `A=$((1+1))`: false, `A=~`: false,
		`A=(1 2)`: false, `if true; then A=1; fi`: false, `A='open`: false, `A="open`: false, `A=1 & B=2`: false, `A=a>b`: false,
	} {
		values, left := Parse([]byte(text + "\n"))
		if (left == 0) != plain {
			t.Errorf("%q: %d statements left out", text, left)
		}
		if !plain {
			continue
		}
		cmd := exec.Command("bash", "-c", text+"\nprintf '%s|%s' \"$A\" \"$B\"")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got := map[string]string{}
		for _, v := range values {
			got[v.Name] = v.Text
		}
		if s := got["A"] + "|" + got["B"]; s != string(out) {
			t.Errorf("%q: %q, a shell has %q", text, s, out)
		}
	}
}

func TestEnvironmentAndMerge(t *testing.T) {
	env := Environment("RECFLEET_META_", []string{"RECFLEET_META_COST_CENTER=7", "RECFLEET_META_=x", "RECFLEET_META=y", "X=z", "RECFLEET_META_stack=s"})
	if !maps.Equal(env, map[string]string{"cost_center": "7", "stack": "s"}) {
		t.Errorf("environment %v", env)
	}
	got := Merge(map[string]string{"a": "1"}, map[string]string{"a": "2", "b": "2"}, nil)
	if !maps.Equal(got, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("merged %v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"export A='b'\n", `A="x\"y"`, "A=$B;C=d", "A=\\", "declare -x A", "'"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, _ := Parse(b)
		for _, v := range values {
			if !isName(v.Name) || len(v.Text) > len(b) {
				t.Errorf("%q: %q", b, v)
			}
		}
		root := t.TempDir()
		write(t, root, profiles()[1], string(b[:min(len(b), maxFile)]), 0o600)
		told := Read(root, nil)
		for k, v := range told.Metadata {
			if !utf8.ValidString(k+v) || len(v) > maxValue {
				t.Errorf("%q: %q", k, v)
			}
		}
		slices.Sort(told.PassedOver)
	})
}
