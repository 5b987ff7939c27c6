// Package platform reads what the platform that runs an instance says of the session on it.
//
// In come the platform's profile files and the environment; out comes metadata under the platform's own names, and what of it
// names the stack, the fleet and the user. What always holds: files are read as data and never run, so that whoever can write
// them gains nothing by it; what is not plain data in them is passed over; sizes are bounded.
package platform

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// The limits of metadata are the protocol's; those of files leave room for what a shell script needs around it.
const (
	maxFile   = 64 << 10
	maxName   = 128
	maxValue  = 4096
	maxValues = 40
)

// untrusted is the entry that says which file somebody else than root could have written.
const untrusted = "platform_file_untrusted"

// profiles are AppStream's files, the later ones first.
func profiles() []string {
	return []string{"etc/profile.d/appstream_user_vars.sh", "etc/profile.d/appstream_system_vars.sh"}
}

// Told is what the platform said.
type Told struct {
	// Metadata is under the platform's names, with "stack" and "fleet" added where they are known.
	Metadata map[string]string
	// User is who the platform says the user is; empty where it does not.
	User string
	// PassedOver says in one line each what was not used and why.
	PassedOver []string
}

// Read reads the platform's files below root ("/", but for tests) and its variables in an environment as os.Environ returns it,
// which win. A file that is not there is no error.
func Read(root string, environ []string) Told {
	t := Told{Metadata: make(map[string]string)}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		t.add(name, value, "environment")
	}
	for _, path := range profiles() {
		b, trusted, err := read(filepath.Join(root, path))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.passOver("/"+path, err.Error())
			continue
		}
		values, left := Parse(b)
		if left > 0 {
			t.passOver("/"+path, fmt.Sprintf("%d statements are not plain assignments", left))
		}
		before := len(t.Metadata)
		for _, v := range slices.Backward(values) { // as in a shell, the last one counts
			t.add(v.Name, v.Text, "/"+path)
		}
		if !trusted && len(t.Metadata) > before {
			t.Metadata[untrusted] = "/" + path
		}
	}
	t.name()
	return t
}

// name finds the platform's names for what every platform has.
func (t *Told) name() {
	m := t.Metadata
	if v := m["AppStream_Stack_Name"]; v != "" {
		m["stack"] = v
	}
	if v, kind := m["AppStream_Resource_Name"], m["AppStream_Resource_Type"]; v != "" && (kind == "" || kind == "fleet") {
		m["fleet"] = v
	}
	t.User = m["AppStream_UserName"]
}

func (t *Told) passOver(where, why string) { t.PassedOver = append(t.PassedOver, where+": "+why) }

// add takes a variable of the platform's unless one of that name is there.
func (t *Told) add(name, value, where string) {
	if !strings.HasPrefix(name, "AppStream_") && !strings.HasPrefix(name, "APPSTREAM_") && name != "AWS_REGION" {
		return
	}
	if _, ok := t.Metadata[name]; ok || value == "" {
		return
	}
	switch {
	case len(name) > maxName || len(value) > maxValue:
		t.passOver(where, fmt.Sprintf("%.40s is longer than %d bytes", name, maxValue))
	case len(t.Metadata) >= maxValues:
		t.passOver(where, fmt.Sprintf("%.40s is one variable too many", name))
	case !utf8.ValidString(name) || !utf8.ValidString(value):
		t.passOver(where, fmt.Sprintf("%.40q is no text", name))
	default:
		t.Metadata[name] = value
	}
}

// Environment returns the metadata in an environment's variables with the prefix: PREFIX_TEAM=red is team=red.
func Environment(prefix string, environ []string) map[string]string {
	m := make(map[string]string)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if key, ok := strings.CutPrefix(name, prefix); ok && key != "" {
			m[strings.ToLower(key)] = value
		}
	}
	return m
}

// Merge returns all entries; the earlier maps win.
func Merge(from ...map[string]string) map[string]string {
	all := make(map[string]string)
	for i := len(from) - 1; i >= 0; i-- {
		maps.Copy(all, from[i])
	}
	return all
}

// read returns a file's content, and whether only root, or whoever runs this, could have written it.
func read(path string) (b []byte, trusted bool, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = file.Close() }()
	st, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, false, fmt.Errorf("it is no regular file of at most %d bytes", maxFile)
	}
	if b, err = io.ReadAll(io.LimitReader(file, maxFile)); err != nil {
		return nil, false, err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		trusted = (sys.Uid == 0 || int(sys.Uid) == os.Geteuid()) && st.Mode().Perm()&0o022 == 0
	}
	return b, trusted, nil
}
