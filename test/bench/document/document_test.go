package document_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/recfleet/recfleet/test/bench/document"
)

func TestInsertChangesItsPartOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.md")
	const before = "# A\n<!-- make bench-a writes what follows -->\nold\n<!-- until here -->\nmore\n<!-- make bench-b writes what follows -->\nb\n<!-- until here -->\n"
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := document.Insert(path, "bench-a", "new\n"); err != nil {
		t.Fatal(err)
	}
	const want = "# A\n<!-- make bench-a writes what follows -->\nnew\n<!-- until here -->\nmore\n<!-- make bench-b writes what follows -->\nb\n<!-- until here -->\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if err := document.Insert(path, "bench-c", "new\n"); err == nil {
		t.Error("a part that is not there was written")
	}
}
