package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (b *bucket) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	return b.GetVersion(ctx, key, "", offset, length)
}

func (b *bucket) GetVersion(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, Info, error) {
	if err := ValidKey(key); err != nil {
		return nil, Info{}, err
	}
	r, info, err := b.get(ctx, key, version, offset, length)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get object %s: %w", key, err)
	}
	return r, info, nil
}

func (b *bucket) get(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, Info, error) {
	if offset < 0 {
		return nil, Info{}, fmt.Errorf("%w: offset %d", ErrRange, offset)
	}
	if length == 0 {
		return b.getNothing(ctx, key, version, offset)
	}
	if offset == 0 && length < 0 {
		return b.getWhole(ctx, key, version)
	}
	// A range's answer may carry the checksum of the whole object, which the client would hold against the range.
	input := &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key), VersionId: some(version), Range: aws.String(rangeHeader(offset, length))}
	out, r, err := b.fetch(ctx, input, func(o *s3.Options) {
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if err != nil {
		if errors.Is(err, ErrRange) {
			return b.getNothing(ctx, key, version, offset) // right at the end is no error
		}
		return nil, Info{}, err
	}
	content := aws.ToString(out.ContentRange)
	first, size, ok := parseContentRange(content)
	if !ok || first != offset {
		r.Close() //nolint:errcheck // refused already
		return nil, Info{}, fmt.Errorf("%w: range %s was answered with %q", ErrUnavailable, *input.Range, content)
	}
	n, err := rangeBytes(size, offset, length)
	if err != nil {
		r.Close() //nolint:errcheck // refused already
		return nil, Info{}, err
	}
	info := Info{Key: key, Bytes: size, Version: aws.ToString(out.VersionId)}
	r.left = n
	return r, info, nil
}

// parseContentRange reads where a part begins and how long the whole is.
func parseContentRange(text string) (first, size int64, ok bool) {
	var last int64
	_, err := fmt.Sscanf(text, "bytes %d-%d/%d", &first, &last, &size)
	return first, size, err == nil && 0 <= first && first <= last && last < size
}

func (b *bucket) getWhole(ctx context.Context, key, version string) (io.ReadCloser, Info, error) {
	out, r, err := b.fetch(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key), VersionId: some(version), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return nil, Info{}, err
	}
	info := Info{
		Key: key, Bytes: aws.ToInt64(out.ContentLength), SHA256: sums(out.ChecksumSHA256, out.ChecksumType, out.Metadata).best(),
		Version: aws.ToString(out.VersionId),
	}
	r.left = info.Bytes
	r.verify(info.SHA256)
	return r, info, nil
}

// fetch begins a download. The reader gives it up when the bucket sends nothing for the response time-out; how slowly
// the caller reads does not count.
func (b *bucket) fetch(ctx context.Context, input *s3.GetObjectInput, options ...func(*s3.Options)) (*s3.GetObjectOutput, *reader, error) {
	request, cancel := context.WithCancel(ctx)
	out, err := b.client.GetObject(request, input, options...)
	if err != nil {
		cancel()
		return nil, nil, failure(ctx, err)
	}
	return out, &reader{ctx: ctx, body: out.Body, src: out.Body, patience: b.patience, giveUp: cancel}, nil
}

// getNothing is a Get of no bytes, which HTTP has no range for.
func (b *bucket) getNothing(ctx context.Context, key, version string, offset int64) (io.ReadCloser, Info, error) {
	info, _, err := b.head(ctx, key, version)
	if err != nil {
		return nil, Info{}, err
	}
	if _, err := rangeBytes(info.Bytes, offset, 0); err != nil {
		return nil, Info{}, err
	}
	return io.NopCloser(strings.NewReader("")), info, nil
}

func rangeHeader(offset, length int64) string {
	if length < 0 || offset+length < offset {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

func (b *bucket) Stat(ctx context.Context, key string) (Info, error) {
	return b.StatVersion(ctx, key, "")
}

func (b *bucket) StatVersion(ctx context.Context, key, version string) (Info, error) {
	if err := ValidKey(key); err != nil {
		return Info{}, err
	}
	info, _, err := b.head(ctx, key, version)
	if err != nil {
		return Info{}, fmt.Errorf("stat object %s: %w", key, err)
	}
	return info, nil
}

// head asks what is known of an object.
func (b *bucket) head(ctx context.Context, key, version string) (Info, known, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key), VersionId: some(version), ChecksumMode: types.ChecksumModeEnabled,
	})
	if forbidden(err) {
		return Info{}, known{}, fmt.Errorf("%w: %w", errNoRight, failure(ctx, err))
	}
	if err != nil {
		return Info{}, known{}, b.missing(ctx, key, version, failure(ctx, err))
	}
	sum := sums(out.ChecksumSHA256, out.ChecksumType, out.Metadata)
	return Info{Key: key, Bytes: aws.ToInt64(out.ContentLength), SHA256: sum.best(), Version: aws.ToString(out.VersionId)}, sum, nil
}

// missing tells an object that is not there from a bucket that is not: the answer to HEAD has no words, that to GET has.
func (b *bucket) missing(ctx context.Context, key, version string, err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	_, r, getErr := b.fetch(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key), VersionId: some(version), Range: aws.String("bytes=0-0")})
	if getErr == nil {
		r.Close() //nolint:errcheck // it has come since; what was asked is answered
		return err
	}
	if errors.Is(getErr, ErrRange) {
		return err
	}
	return getErr
}

// some is a request's field, which is left out where there is nothing to say.
func some(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := validPrefix(prefix); err != nil {
			yield(Info{}, err)
			return
		}
		pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{
			Bucket: &b.name, Prefix: aws.String(b.prefix + prefix),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, fmt.Errorf("list objects %s: %w", prefix, failure(ctx, err)))
				return
			}
			for _, o := range page.Contents {
				key, inRoot := strings.CutPrefix(aws.ToString(o.Key), b.prefix)
				if !inRoot || ValidKey(key) != nil {
					continue
				}
				if !yield(Info{Key: key, Bytes: aws.ToInt64(o.Size)}, nil) {
					return
				}
			}
		}
	}
}
