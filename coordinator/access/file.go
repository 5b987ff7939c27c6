package access

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/written"
)

// Read reads an access file. written.ErrFile says that it cannot be read, written.Errors what is wrong in it.
func Read(path string) (*Book, error) {
	raw, err := written.Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(raw)
}

// File is a book that lies in a file and may be read again. It is safe for concurrent use; a nil File has a nil Book.
type File struct {
	path    string
	logger  hclog.Logger
	current atomic.Pointer[Book]
}

// Open reads the file for the first time. Errors as of Read.
func Open(path string, logger hclog.Logger) (*File, error) {
	f := &File{path: path, logger: logger}
	b, err := Read(path)
	if err != nil {
		return nil, fmt.Errorf("open access file %s: %w", path, err)
	}
	f.current.Store(b)
	logger.Info("access file loaded", "path", path, "hash", b.Hash(), "version", b.Version(), "roles", len(b.roles))
	return f, nil
}

// Current returns the book that holds now.
func (f *File) Current() *Book {
	if f == nil {
		return nil
	}
	return f.current.Load()
}

// Reload reads the file again. Where that fails the book that held goes on to hold, and the error is as of Read.
func (f *File) Reload() error {
	b, err := Read(f.path)
	if err != nil {
		return fmt.Errorf("reload access file %s: %w", f.path, err)
	}
	before := f.current.Swap(b)
	f.logger.Info("access file reloaded", "path", f.path, "hash", b.Hash(), "version", b.Version(), "roles", len(b.roles), "previous_hash", before.Hash())
	return nil
}

// Run reads the file again at every signal, until ctx is done, and then returns nil. It blocks.
func (f *File) Run(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			if err := f.Reload(); err != nil {
				f.logger.Error("access file refused, the one before goes on to hold", "error", err, "hash", f.Current().Hash())
			}
		}
	}
}
