package object

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// The directory store keeps what is its own in a hidden folder of the root, which no key can name:
//
//	.recfleet/tmp/<random>   a file that is being written; hard-linked to its key when it is whole and synced
//	.recfleet/sums/<key>.sum the object's SHA-256 and size, written after the object
//
// A sidecar is kept rather than an extended attribute because not every file system has those. It may be missing after
// a crash; the object is hashed then, and the next Put of the same content writes it again.
const (
	hiddenDir = ".recfleet"
	tempDir   = hiddenDir + "/tmp"
	sumsDir   = hiddenDir + "/sums"
	dirMode   = 0o750
	fileMode  = 0o640
)

// directory is a Store in a directory. os.Root keeps every path within it, whatever links lie there.
type directory struct {
	root *os.Root
	log  hclog.Logger
}

func openDirectory(ctx context.Context, dir string, cfg Config) (*directory, error) {
	if !cfg.ReadOnly {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return nil, unavailable(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unavailable(err)
	}
	d := &directory{root: root, log: cfg.Logger}
	if cfg.ReadOnly {
		return d, nil
	}
	if err := root.MkdirAll(tempDir, dirMode); err != nil {
		return nil, errors.Join(unavailable(err), root.Close())
	}
	removed, err := d.removeTemps(ctx, cfg.TempAge)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if removed > 0 {
		d.log.Info("temporary files removed", "dir", dir, "files", removed)
	}
	return d, nil
}

// removeTemps removes what writers that died left behind, once it is older than age.
func (d *directory) removeTemps(ctx context.Context, age time.Duration) (removed int, err error) {
	entries, err := fs.ReadDir(d.root.FS(), tempDir)
	if err != nil {
		return 0, unavailable(err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // its writer, or another Open, was faster
		}
		if err != nil {
			return removed, unavailable(err)
		}
		if time.Since(info.ModTime()) < age {
			continue
		}
		if err := d.root.Remove(path.Join(tempDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, unavailable(err)
		}
		removed++
	}
	return removed, nil
}

func (d *directory) Close() error { return d.root.Close() }

func (d *directory) Put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (Info, error) {
	if err := ValidKey(key); err != nil {
		return Info{}, err
	}
	info, err := d.put(ctx, key, body, opts)
	if err != nil {
		return Info{}, fmt.Errorf("put object %s: %w", key, err)
	}
	return info, nil
}

func (d *directory) put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (info Info, err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return Info{}, fmt.Errorf("rewind body: %w", err)
	}
	info.Key = key
	if _, err := d.root.Lstat(key); err == nil {
		// Nothing needs to be written, so that a repeated Put succeeds on a full disk.
		if info.SHA256, info.Bytes, err = hashTo(ctx, io.Discard, body, opts); err != nil {
			return Info{}, err
		}
		return info, d.settle(ctx, info)
	}

	temp := path.Join(tempDir, rand.Text())
	defer d.root.Remove(temp) //nolint:errcheck // Open removes what stays
	info.SHA256, info.Bytes, err = d.writeTemp(ctx, temp, body, opts)
	if err != nil {
		return Info{}, err
	}
	if err := d.link(temp, key); errors.Is(err, fs.ErrExist) {
		return info, d.settle(ctx, info)
	} else if err != nil {
		return Info{}, err
	}
	if err := d.syncDirs(path.Dir(key)); err != nil {
		return Info{}, err
	}
	d.keepSum(info)
	return info, nil
}

// linkTries is how often a folder is made anew that a Delete removed because it was empty.
const linkTries = 10

// link gives a whole file its name. It is refused when the name is taken, by whomever: the one moment in which an object comes
// to be.
func (d *directory) link(temp, key string) error {
	for try := 1; ; try++ {
		if err := d.root.MkdirAll(path.Dir(key), dirMode); err != nil {
			if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: a folder of the key is an object", ErrExists)
			}
			if try < linkTries && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return unavailable(err)
		}
		err := d.root.Link(temp, key)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		if try == linkTries || !errors.Is(err, fs.ErrNotExist) {
			return unavailable(err)
		}
	}
}

// settle decides a Put whose key is taken: success when the object on the disk has the same bytes.
func (d *directory) settle(ctx context.Context, put Info) error {
	f, size, err := d.open(put.Key)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: the name is not a file", ErrExists)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if size != put.Bytes {
		return fmt.Errorf("%w: %d bytes there, %d put", ErrExists, size, put.Bytes)
	}
	digest, err := hashFile(ctx, f)
	if err != nil {
		return err
	}
	if digest != put.SHA256 {
		return fmt.Errorf("%w: sha256 %s there, %s put", ErrExists, digest, put.SHA256)
	}
	// The winner may not have come this far yet.
	if err := d.syncDirs(path.Dir(put.Key)); err != nil {
		return err
	}
	d.keepSum(put)
	return nil
}

func (d *directory) Check(ctx context.Context) error {
	temp := path.Join(tempDir, rand.Text())
	linked := temp + "-linked"
	_, _, err := d.writeTemp(ctx, temp, strings.NewReader("recfleet\n"), PutOptions{})
	if err == nil {
		if linkErr := d.root.Link(temp, linked); linkErr != nil {
			err = unavailable(fmt.Errorf("hard link, without which nothing can be written safely: %w", linkErr))
		}
	}
	for _, name := range []string{temp, linked} {
		if rmErr := d.root.Remove(name); rmErr != nil && err == nil {
			err = unavailable(rmErr)
		}
	}
	if err != nil {
		return fmt.Errorf("check archive directory %s: %w", d.root.Name(), err)
	}
	return nil
}

// syncDirs makes the names on the way from the root to dir durable.
func (d *directory) syncDirs(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there
	}
	for {
		f, err := d.root.Open(dir)
		if err != nil {
			return unavailable(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return unavailable(fmt.Errorf("sync directory %s: %w", dir, err))
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// writeTemp copies body to a new file and syncs it.
func (d *directory) writeTemp(ctx context.Context, name string, body io.Reader, opts PutOptions) (Digest, int64, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return Digest{}, 0, unavailable(err)
	}
	digest, n, err := hashTo(ctx, diskWriter{f}, body, opts)
	if err == nil {
		if err = f.Sync(); err != nil {
			err = unavailable(err)
		}
	}
	if closeErr := f.Close(); closeErr != nil && err == nil {
		err = unavailable(closeErr)
	}
	return digest, n, err
}

// unavailable marks an error as the destination's fault.
func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// diskWriter tells errors of writing from those of reading the body.
type diskWriter struct{ w io.Writer }

func (d diskWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		err = unavailable(err)
	}
	return n, err
}
