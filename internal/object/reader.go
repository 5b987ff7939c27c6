package object

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"time"
)

// copyBytes is the size of a copy's buffer, and how often it looks at its context.
const copyBytes = 256 << 10

// hashTo copies body to w and returns its digest and size. ErrDigest when it is not the digest that opts asks for.
func hashTo(ctx context.Context, w io.Writer, body io.Reader, opts PutOptions) (Digest, int64, error) {
	sum := sha256.New()
	var n int64
	size := copyBytes
	if short, ok := body.(interface{ Len() int }); ok { // as of bytes.Reader: documents are a few KB
		size = max(1, min(size, short.Len()))
	}
	buf := make([]byte, size)
	for {
		if err := ctx.Err(); err != nil {
			return Digest{}, n, err
		}
		got, err := body.Read(buf)
		sum.Write(buf[:got])
		n += int64(got)
		if _, werr := w.Write(buf[:got]); werr != nil {
			return Digest{}, n, werr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return Digest{}, n, fmt.Errorf("read body: %w", err)
		}
	}
	digest := Digest(sum.Sum(nil))
	if !opts.SHA256.IsZero() && opts.SHA256 != digest {
		return Digest{}, n, fmt.Errorf("%w: body has sha256 %s, not %s", ErrDigest, digest, opts.SHA256)
	}
	return digest, n, nil
}

// hashFile is the digest of what the archive holds; errors of reading are the archive's.
func hashFile(ctx context.Context, r io.Reader) (Digest, error) {
	digest, _, err := hashTo(ctx, io.Discard, r, PutOptions{})
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnavailable) {
		err = unavailable(err)
	}
	return digest, err
}

// rangeBytes is how many bytes of an object a range holds.
func rangeBytes(size, offset, length int64) (int64, error) {
	if offset < 0 || offset > size {
		return 0, fmt.Errorf("%w: offset %d of %d bytes", ErrRange, offset, size)
	}
	if length < 0 {
		length = math.MaxInt64
	}
	return min(length, size-offset), nil
}

// reader is the body that Get returns: it ends early when its context does, counts, and may check the digest.
type reader struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no place for it, and the reader lives within one call
	body   io.Closer
	src    io.Reader
	left   int64
	sum    hash.Hash
	digest Digest
	// giveUp, where there is one, ends a read that takes longer than patience; Close calls it as well.
	patience time.Duration
	giveUp   context.CancelFunc
}

// verify makes the reader compare the bytes with a digest at their end; a zero digest is not compared.
func (r *reader) verify(d Digest) {
	if !d.IsZero() {
		r.sum, r.digest = sha256.New(), d
	}
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.giveUp != nil {
		impatience := time.AfterFunc(r.patience, r.giveUp)
		defer impatience.Stop()
	}
	n, err := r.src.Read(p)
	r.left -= int64(n)
	if r.sum != nil {
		r.sum.Write(p[:n])
	}
	switch {
	case err == nil:
		return n, nil
	case r.left == 0 && r.sum != nil && Digest(r.sum.Sum(nil)) != r.digest:
		// Before any other error: the S3 client reports the same in words of its own.
		return n, fmt.Errorf("read object: %w: sha256 is not %s", ErrDigest, r.digest)
	case err != io.EOF:
		if r.ctx.Err() != nil {
			return n, r.ctx.Err()
		}
		return n, fmt.Errorf("read object: %w: %s", ErrUnavailable, oneLine(err))
	case r.left != 0:
		return n, unavailable(fmt.Errorf("read object: %w", io.ErrUnexpectedEOF))
	}
	return n, io.EOF
}

func (r *reader) Close() error {
	if r.giveUp != nil {
		defer r.giveUp()
	}
	return r.body.Close()
}
