package written

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// Document is what a file says once it is parsed. It does not change.
type Document interface {
	Hash() string
	// Describe returns the keys and values by which logs name it.
	Describe() []any
}

// File is a document that lies in a file and may be read again. It is safe for concurrent use; a nil File has no document.
type File[D Document] struct {
	path, noun string
	parse      func([]byte) (D, error)
	logger     hclog.Logger
	current    atomic.Pointer[D]
}

// OpenFile reads a file for the first time; logs and errors call it by the noun. Without a path there is no File, and it returns nil.
// ErrFile says that the file cannot be read, Errors what is wrong in it.
func OpenFile[D Document](path, noun string, parse func([]byte) (D, error), logger hclog.Logger) (*File[D], error) {
	if path == "" {
		return nil, nil
	}
	f := &File[D]{path: path, noun: noun, parse: parse, logger: logger.With("path", path)}
	d, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("open %s %s: %w", noun, path, err)
	}
	f.current.Store(&d)
	f.logger.Info(noun+" loaded", d.Describe()...)
	return f, nil
}

func (f *File[D]) read() (D, error) {
	raw, err := Read(f.path)
	if err != nil {
		var none D
		return none, err
	}
	return f.parse(raw)
}

// Current returns the document that holds now, and the zero one for a nil File.
func (f *File[D]) Current() D {
	if f == nil {
		var none D
		return none
	}
	return *f.current.Load()
}

// Reload reads the file again. Where that fails the document that held goes on to hold, and the error is as of OpenFile.
func (f *File[D]) Reload() error {
	d, err := f.read()
	if err != nil {
		return fmt.Errorf("reload %s %s: %w", f.noun, f.path, err)
	}
	before := f.current.Swap(&d)
	f.logger.Info(f.noun+" reloaded", append(d.Describe(), "previous_hash", (*before).Hash())...)
	return nil
}

// Run reads the file again at every signal, until ctx is done, and then returns nil. It blocks.
func (f *File[D]) Run(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			if err := f.Reload(); err != nil {
				f.logger.Error(f.noun+" refused, the one before goes on to hold", append(f.Current().Describe(), "error", err)...)
			}
		}
	}
}
