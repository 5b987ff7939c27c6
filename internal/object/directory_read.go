package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

func (d *directory) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	if err := ValidKey(key); err != nil {
		return nil, Info{}, err
	}
	f, size, err := d.open(key)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get object %s: %w", key, err)
	}
	info := Info{Key: key, Bytes: size}
	if sum, bytes, ok := d.readSum(key); ok && bytes == size {
		info.SHA256 = sum
	}
	n, err := rangeBytes(size, offset, length)
	if err != nil {
		return nil, Info{}, errors.Join(fmt.Errorf("get object %s: %w", key, err), f.Close())
	}
	r := &reader{ctx: ctx, body: f, src: io.NewSectionReader(f, offset, n), left: n}
	if n == size {
		r.verify(info.SHA256)
	}
	return r, info, nil
}

// GetVersion is Get: a directory keeps one version.
func (d *directory) GetVersion(ctx context.Context, key, _ string, offset, length int64) (io.ReadCloser, Info, error) {
	return d.Get(ctx, key, offset, length)
}

// StatVersion is Stat.
func (d *directory) StatVersion(ctx context.Context, key, _ string) (Info, error) {
	return d.Stat(ctx, key)
}

func (d *directory) Stat(ctx context.Context, key string) (Info, error) {
	if err := ValidKey(key); err != nil {
		return Info{}, err
	}
	f, size, err := d.open(key)
	if err != nil {
		return Info{}, fmt.Errorf("stat object %s: %w", key, err)
	}
	defer f.Close()
	info := Info{Key: key, Bytes: size}
	sum, bytes, ok := d.readSum(key)
	if ok && bytes == size {
		info.SHA256 = sum
		return info, nil
	}
	if info.SHA256, err = hashFile(ctx, f); err != nil {
		return Info{}, fmt.Errorf("stat object %s: %w", key, err)
	}
	return info, nil
}

// open opens an object; anything but a regular file is none.
func (d *directory) open(key string) (*os.File, int64, error) {
	// Asked before opening, since opening a FIFO would block.
	st, err := d.root.Lstat(key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, unavailable(err)
	}
	if !st.Mode().IsRegular() {
		return nil, 0, ErrNotFound
	}
	f, err := d.root.Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, unavailable(err)
	}
	return f, st.Size(), nil
}

func (d *directory) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := validPrefix(prefix); err != nil {
			yield(Info{}, err)
			return
		}
		dir, _ := path.Split(prefix)
		if _, err := d.walk(ctx, strings.TrimSuffix(dir, "/"), prefix, yield); err != nil {
			yield(Info{}, fmt.Errorf("list objects %s: %w", prefix, err))
		}
	}
}

// walk yields what lies below dir and starts with prefix, in the byte order of whole keys, and returns whether the
// caller wants more.
func (d *directory) walk(ctx context.Context, dir, prefix string, yield func(Info, error) bool) (bool, error) {
	name := dir
	if name == "" {
		name = "."
	}
	entries, err := fs.ReadDir(d.root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return true, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	// "a-b" comes before "a/b", though "a" comes before "a-b".
	sortName := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		key := path.Join(dir, e.Name())
		if badName(e.Name()) != "" || !strings.HasPrefix(key, prefix) && !strings.HasPrefix(prefix, key+"/") {
			continue
		}
		if e.IsDir() {
			if more, err := d.walk(ctx, key, prefix, yield); !more || err != nil {
				return more, err
			}
			continue
		}
		if !e.Type().IsRegular() || !strings.HasPrefix(key, prefix) || ValidKey(key) != nil {
			continue
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, unavailable(err)
		}
		if !yield(Info{Key: key, Bytes: st.Size()}, nil) {
			return false, nil
		}
	}
	return true, nil
}
