package access

import (
	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/written"
)

// File is a book that lies in a file and may be read again. It is safe for concurrent use; a nil File has a nil Book.
type File = written.File[*Book]

// Read reads an access file. written.ErrFile says that it cannot be read, written.Errors what is wrong in it.
func Read(path string) (*Book, error) {
	raw, err := written.Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(raw)
}

// Open reads the file for the first time; without a path there is none, and it returns nil. Errors as of Read.
func Open(path string, logger hclog.Logger) (*File, error) {
	return written.OpenFile(path, "access file", Parse, logger)
}

// Describe returns what logs say of the book.
func (b *Book) Describe() []any {
	return []any{"access_hash", b.Hash(), "access_version", b.Version(), "roles", len(b.roles)}
}
