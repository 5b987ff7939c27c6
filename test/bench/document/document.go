// Package document puts what a benchmark measured into the part of a document that is marked for it.
//
// What comes in is a document with two comments, and a table; what goes out is the document with the table between them. What always
// holds: what stands outside the two comments stays as it is.
package document

import (
	"fmt"
	"os"
	"strings"
)

const end = "<!-- until here -->\n"

// Insert puts the table into the document's part that begins with a comment naming the make target which writes it.
func Insert(path, target, table string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin := fmt.Sprintf("<!-- make %s writes what follows -->\n", target)
	before, rest, found := strings.Cut(string(raw), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no part that is marked for %s", path, target)
	}
	return os.WriteFile(path, []byte(before+begin+table+end+after), 0o644)
}

// Load says what else the machine does: its load of the last minute, or "unknown".
func Load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(raw), " ")
	return one
}
