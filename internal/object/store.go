// Package object is the one door to the archive: a directory, or an S3 bucket.
//
// In come a Location (parsed from the URL that an operator wrote), keys, and the bytes of finished files; out go the
// same bytes, whole or by range, and what is known of them (size, SHA-256, version). A session's folder is made from
// the location's Template; the keys that a Store takes are relative to the location's root.
//
// What always holds, for the directory and for S3 alike:
//   - An object is written once. Putting the same content again succeeds and changes nothing; putting other content
//     under a key that exists is refused with ErrExists. Nothing here overwrites an object, and only Delete deletes one.
//   - An object is visible whole or not at all.
//   - After Put returned nil the object is durable: synced to disk, or acknowledged by the bucket.
//   - A read of a whole object whose SHA-256 is known ends with ErrDigest instead of io.EOF when the bytes are not
//     the ones that were put.
//   - No key, and no value a template was given, leads outside the location's root.
//
// On S3 a Put takes s3:PutObject, and s3:AbortMultipartUpload to clean up behind itself; s3:GetObject lets it learn whether a
// refused put had the same content. docs/archive.md has the rights of each program.
package object

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/hashicorp/go-hclog"
)

// What can go wrong, told apart where it happens. Errors that wrap none of these come from the caller: a bad key, a
// body that cannot be read, a canceled context.
var (
	// ErrNotFound: there is no object under this key.
	ErrNotFound = errors.New("object not found")
	// ErrExists: the key is taken by other content, which stays as it is. Trying again does not help.
	ErrExists = errors.New("object exists with other content")
	// ErrUnavailable: the destination's fault (disk full, no right, 5xx, time-out). The same call may succeed later,
	// and nothing is wrong with the content.
	ErrUnavailable = errors.New("archive unavailable")
	// ErrUnread: the key is taken, and this program has no right to see by what: its own Put may have succeeded before, with the
	// answer lost. Whoever may read can tell. It comes with ErrUnavailable.
	ErrUnread = errors.New("object exists and may not be read")
	// ErrDigest: the bytes do not have the SHA-256 they should have.
	ErrDigest = errors.New("object digest mismatch")
	// ErrRange: the range asked for starts past the object's end, or is negative.
	ErrRange = errors.New("object range not satisfiable")
	// ErrKey: the key breaks the rules of ValidKey.
	ErrKey = errors.New("object key not valid")
)

// Digest is a SHA-256. The zero Digest means "not known".
type Digest [32]byte

// IsZero reports whether the digest is not known.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is the digest in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Info is what the archive knows of one object.
type Info struct {
	// Key is relative to the location's root.
	Key string
	// Bytes is the size of the whole object, also when a range of it was read.
	Bytes int64
	// SHA256 of the whole object. Zero from List, from a Get of a range, and where the destination does not know it. Of what was
	// put into a bucket in parts it is what the writer said; a read of the whole is compared with it.
	SHA256 Digest
	// Version is the bucket's id of this version; empty in a directory or an unversioned bucket.
	Version string
}

// PutOptions says what is known of an object before it is put.
type PutOptions struct {
	// ContentType is kept by S3; a directory has no place for it.
	ContentType string
	// SHA256 that the body must have; zero when the caller does not know it.
	SHA256 Digest
}

// Store holds the objects of one location. Its methods may be called from several goroutines at once, and several
// processes may have the same location open.
type Store interface {
	// Put writes body, from its beginning to its end, under key. It blocks until the object is durable, is
	// idempotent, and never overwrites. Errors: ErrExists, ErrDigest (the body does not have opts.SHA256),
	// ErrUnavailable, ErrKey, or the body's own. body is read more than once and not closed.
	Put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (Info, error)
	// Get opens length bytes from offset; a negative length means to the end, and a range that reaches past the end
	// stops there. The caller closes the reader; ctx governs the reads too. Errors: ErrNotFound, ErrRange,
	// ErrUnavailable, ErrKey; reading may end with ErrDigest or ErrUnavailable.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error)
	// Stat says what is known of an object without reading it where that is possible. Errors as of Get.
	Stat(ctx context.Context, key string) (Info, error)
	// GetVersion is Get of the version that a Put returned, whatever was put over it or deleted since; an empty version is the
	// newest. A directory has one version only and takes any. ErrNotFound where the version is gone.
	GetVersion(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, Info, error)
	// StatVersion is Stat of that version.
	StatVersion(ctx context.Context, key, version string) (Info, error)
	// List yields the objects whose keys start with prefix, in ascending byte order, without their SHA256. It yields
	// an error last, if any. An empty prefix lists everything; objects put there by others under keys that ValidKey
	// refuses are left out.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Remains yields the keys of all that Delete has something to remove of, below a prefix and in no order: those of List and, where
	// the bucket keeps versions, those that a delete marker hides from it. Errors as of List.
	Remains(ctx context.Context, prefix string) iter.Seq2[string, error]
	// Delete removes an object for ever: where the bucket keeps versions, all of them. It is idempotent: what is not there is
	// deleted. Errors: ErrUnavailable, also where the caller has no right or the object is locked, and ErrKey.
	Delete(ctx context.Context, key string) error
	// Check writes to the root and says in one line why it cannot be used. Idempotent; meant for start-up.
	Check(ctx context.Context) error
	// Close gives back what the store holds open. No other method may be called afterwards.
	Close() error
}

// Config is what Open needs beside the location. The zero Config is good.
type Config struct {
	// Logger for what is cleaned up and repeated; nil logs nothing.
	Logger hclog.Logger
	// TempAge is the age from which Open removes the temporary files of writers that died; default 24 h. It must be
	// well above the longest Put. Directory only.
	TempAge time.Duration
	// ReadOnly opens a directory that is there as it is and writes nothing to it, which Put and Delete are not to be called then.
	// Directory only.
	ReadOnly bool
	// Attempts is how often one request is tried at most, with growing pauses of random length; default 5. S3 only.
	Attempts int
	// MaxPause is the longest pause between two tries; default 20 s. S3 only.
	MaxPause time.Duration
	// ResponseTimeout is how long the bucket may take to answer a request that was sent, and how long a download or an upload may
	// stand still; default 1 min. S3 only.
	ResponseTimeout time.Duration
	// PartBytes is the size above which an object is put in parts, and of the parts; default 16 MiB, at least 5 MiB. The largest
	// objects have larger ones. S3 only.
	PartBytes int64
	// Reread is how often credentials that do not say when they end are looked for again; default 30 s. S3 only.
	Reread time.Duration
}

// Sizes of parts; S3 takes none that is smaller than the least, but for the last.
const (
	defaultPart = 16 << 20
	leastPart   = 5 << 20
)

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.TempAge <= 0 {
		c.TempAge = 24 * time.Hour
	}
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	if c.MaxPause <= 0 {
		c.MaxPause = retry.DefaultMaxBackoff
	}
	if c.ResponseTimeout <= 0 {
		c.ResponseTimeout = time.Minute
	}
	if c.PartBytes <= 0 {
		c.PartBytes = defaultPart
	}
	c.PartBytes = max(c.PartBytes, leastPart)
	if c.Reread <= 0 {
		c.Reread = 30 * time.Second
	}
	return c
}

// Open opens the store at a location. A directory that is missing is made; a bucket is not asked anything before
// Check or the first use. Errors: ErrUnavailable, ErrLocation.
func Open(ctx context.Context, loc Location, cfg Config) (Store, error) {
	cfg = cfg.withDefaults()
	switch loc.Scheme {
	case SchemeFile:
		d, err := openDirectory(ctx, loc.Dir, cfg)
		if err != nil {
			return nil, fmt.Errorf("open archive %s: %w", loc, err)
		}
		return d, nil
	case SchemeS3:
		b, err := openBucket(ctx, loc, cfg)
		if err != nil {
			return nil, fmt.Errorf("open archive %s: %w", loc, err)
		}
		return b, nil
	default:
		return nil, locationError("unknown scheme %q", string(loc.Scheme))
	}
}
