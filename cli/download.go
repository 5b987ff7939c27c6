package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	// downloadTries is how often in a row a download may break off without a byte having come.
	downloadTries = 4
	firstPause    = 250 * time.Millisecond
)

// downloader fetches mp4s into a directory.
type downloader struct {
	client recfleetv1.RecordingServiceClient
	dir    string
	// idle is the longest time between two messages.
	idle time.Duration
	bar  func(name string, size, done int64) io.WriteCloser
	// reason is what the audit is told, and entire that all of a session is fetched.
	reason string
	entire bool
}

// source is an object of the archive as the catalog describes it, or a document of the session, of segment 0, as the manifest does.
type source struct {
	session string
	segment int32
	file    recfleetv1.RecordingFile
	key     string
	bytes   int64
	sha256  []byte
}

func videoOf(r *recfleetv1.Recording) source {
	return source{session: r.GetSessionId(), segment: r.GetSegment(), key: r.GetObjectKey(), bytes: r.GetBytes(), sha256: r.GetSha256()}
}

// download fetches one mp4 unless it is there already, and says where it is. The bytes come into a .part file, which a
// later try goes on with; it gets its name when it is whole, checked and on disk.
func (d *downloader) download(ctx context.Context, r *recfleetv1.Recording) (path string, fetched bool, err error) {
	if path, err = d.path(r); err != nil {
		return "", false, err
	}
	if there, err := d.present(path, r); there || err != nil {
		return path, false, err
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return path, false, usageError{err}
	}
	defer f.Close()
	if err := d.fill(ctx, f, videoOf(r)); err != nil {
		return path, false, fmt.Errorf("download %s: %w", path, err)
	}
	if err := publish(f, part, path); err != nil {
		return path, false, fmt.Errorf("download %s: %w", path, err)
	}
	return path, true, nil
}

// path returns where an mp4 goes.
func (d *downloader) path(r *recfleetv1.Recording) (string, error) {
	if !chunk.ValidSession(r.GetSessionId()) || r.GetSegment() < 1 || len(r.GetSha256()) != sha256.Size || r.GetBytes() < 0 {
		return "", fmt.Errorf("download segment %d: the coordinator's description of it is malformed", r.GetSegment())
	}
	return filepath.Join(d.dir, fmt.Sprintf("%s-%06d.mp4", r.GetSessionId(), r.GetSegment())), nil
}

// present reports whether the mp4 is there. Another content under its name is an error: nothing is overwritten.
func (d *downloader) present(path string, r *recfleetv1.Recording) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, err
	}
	if !bytes.Equal(sum.Sum(nil), r.GetSha256()) {
		return false, fmt.Errorf("%s is there with other content and was kept", path)
	}
	return true, nil
}

// fill makes f the whole mp4. Should what f holds from an earlier try turn out wrong, it starts from nothing, once.
func (d *downloader) fill(ctx context.Context, f *os.File, from source) error {
	for resumed := true; ; resumed = false {
		sum := sha256.New()
		done, err := io.Copy(sum, f)
		if err != nil {
			return err
		}
		if done > from.bytes {
			done = 0
		}
		if done == 0 {
			if err := restart(f, sum); err != nil {
				return err
			}
		}
		begun := done
		if err := d.stream(ctx, f, sum, done, from); err != nil {
			return err
		}
		if bytes.Equal(sum.Sum(nil), from.sha256) {
			return nil
		}
		if err := restart(f, sum); err != nil {
			return err
		}
		if !resumed || begun == 0 {
			return errors.New("its SHA-256 is not the one in the catalog")
		}
	}
}

func restart(f *os.File, sum hash.Hash) error {
	sum.Reset()
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// stream appends from offset done to the end, and goes on after a break.
func (d *downloader) stream(ctx context.Context, f io.Writer, sum io.Writer, done int64, from source) error {
	name := from.key
	if from.segment > 0 {
		name = fmt.Sprintf("segment %d", from.segment)
	}
	bar := d.bar(name, from.bytes, done)
	defer bar.Close()
	to := io.MultiWriter(f, sum, bar)
	for tries := 1; done < from.bytes; tries++ {
		n, err := d.once(ctx, to, done, from)
		if done += n; n > 0 {
			tries = 1
		}
		var local *localError
		switch code := code(err); {
		case err == nil && done < from.bytes && tries < downloadTries: // ended early: go on
		case err == nil && done < from.bytes:
			return &sizeError{fmt.Errorf("it ended after %d of %d bytes", done, from.bytes)}
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &local), tries >= downloadTries,
			code != codes.Unavailable && code != codes.Aborted && code != codes.Internal && code != codes.Unknown && code != codes.DeadlineExceeded:
			return err
		}
		pause := time.NewTimer(firstPause << tries)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// localError is a failure on this side, such as a full disk.
type localError struct{ error }

func (l *localError) Unwrap() error { return l.error }

// sizeError means that an object has another size than the catalog says.
type sizeError struct{ error }

// once makes one call and returns how many bytes it brought.
func (d *downloader) once(ctx context.Context, to io.Writer, offset int64, from source) (n int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(d.idle, func() { cancel(context.DeadlineExceeded) })
	defer idle.Stop()
	fail := func(err error) (int64, error) {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = status.FromContextError(context.DeadlineExceeded).Err()
		}
		return n, failed(err, "receive")
	}
	call, err := d.client.DownloadRecording(ctx, &recfleetv1.DownloadRecordingRequest{
		SessionId: from.session, Segment: from.segment, File: from.file, Offset: offset, Reason: d.reason, EntireSession: d.entire,
	})
	if err != nil {
		return fail(err)
	}
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return fail(err)
		}
		idle.Reset(d.idle)
		if offset+n+int64(len(m.GetData())) > from.bytes {
			return n, &localError{&sizeError{fmt.Errorf("more than its %d bytes came", from.bytes)}}
		}
		if _, err := to.Write(m.GetData()); err != nil {
			return n, &localError{err}
		}
		n += int64(len(m.GetData()))
	}
}

// publish gives the finished file its name, never in the place of another file.
func publish(f *os.File, part, path string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(part, path); errors.Is(err, os.ErrExist) {
		return errors.New("a file of that name has appeared and was kept")
	} else if err != nil { // a file system without links
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return errors.New("a file of that name has appeared and was kept")
		}
		return os.Rename(part, path)
	}
	return os.Remove(part)
}
