package object

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// maxParts and maxObjectBytes are S3's.
	maxParts       = 10_000
	maxObjectBytes = 5 << 40
	// partUnit is what the size of a part is a multiple of where it has to grow.
	partUnit = 1 << 20
	// abortTimeout and abortAttempts bound what is done for an upload that has failed: its Put waits for it.
	abortTimeout  = 10 * time.Second
	abortAttempts = 2
)

// upload is an object that is put in parts.
//
// Each part goes up with its SHA-256, which the service compares. What it keeps of the whole then is the SHA-256 of the parts'
// SHA-256s, which depends on how the object was cut; the one of the object itself goes along as metadata. The object comes to be
// in one moment, by CompleteMultipartUpload with If-None-Match: *. The body is read where it lies and never held in memory.
type upload struct {
	partBytes int64
	sums      []Digest
}

// partSize is how large parts are so that S3 takes as many as there are.
func partSize(object, least int64) int64 {
	size := (object + maxParts - 1) / maxParts
	if size <= least {
		return least
	}
	return (size + partUnit - 1) / partUnit * partUnit
}

// composite is what the service keeps as the object's checksum.
func (u upload) composite() string {
	sum := sha256.New()
	for _, part := range u.sums {
		sum.Write(part[:])
	}
	return fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sum.Sum(nil)), len(u.sums))
}

// partSums takes an object's bytes and makes the SHA-256 of each part.
type partSums struct {
	upload
	sum  hash.Hash
	left int64 // of the part
}

func newPartSums(partBytes int64) *partSums {
	return &partSums{upload: upload{partBytes: partBytes}, sum: sha256.New(), left: partBytes}
}

func (p *partSums) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if p.left == 0 {
			p.finish()
		}
		piece := b[:min(int64(len(b)), p.left)]
		p.sum.Write(piece)
		p.left -= int64(len(piece))
		b = b[len(piece):]
	}
	return n, nil
}

// finish ends the part that is under way.
func (p *partSums) finish() {
	p.sums = append(p.sums, Digest(p.sum.Sum(nil)))
	p.sum.Reset()
	p.left = p.partBytes
}

// putParts sends the object in parts and returns its version. An upload that fails is aborted.
func (b *bucket) putParts(ctx context.Context, o sending, body io.ReadSeeker) (version string, err error) {
	name := aws.String(b.prefix + o.info.Key)
	kept := b.storage.request(b.template, o.info.Key, time.Now())
	begun, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: name, ContentType: &o.contentType, Metadata: metadataOf(o.info.SHA256),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeComposite,
		ServerSideEncryption: kept.encryption, SSEKMSKeyId: kept.kmsKey, StorageClass: kept.class, Tagging: kept.tagging,
		ObjectLockMode: kept.lock, ObjectLockRetainUntilDate: kept.until,
	})
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			b.abort(ctx, *name, aws.ToString(begun.UploadId))
		}
	}()
	var parts []types.CompletedPart
	for i, sum := range o.upload.sums {
		offset := int64(i) * o.upload.partBytes
		length := min(o.upload.partBytes, o.info.Bytes-offset)
		number, checksum := aws.Int32(int32(i+1)), aws.String(base64.StdEncoding.EncodeToString(sum[:])) //nolint:gosec // at most maxParts
		out, err := b.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &b.name, Key: name, UploadId: begun.UploadId, PartNumber: number,
			Body: section(body, offset, length), ContentLength: &length, ChecksumSHA256: checksum,
		})
		if err != nil {
			return "", err
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: number, ChecksumSHA256: checksum})
	}
	out, err := b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: name, UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		ChecksumSHA256: aws.String(o.upload.composite()), ChecksumType: types.ChecksumTypeComposite, MpuObjectSize: &o.info.Bytes,
		IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		return "", err
	}
	if version = aws.ToString(out.VersionId); version == "" {
		// There is none, or it was in an answer that was lost.
		there, sum, headErr := b.head(ctx, o.info.Key, "")
		if headErr == nil && sum.composite == o.upload.composite() {
			version = there.Version
		}
	}
	return version, nil
}

// abort gives back what an upload holds, also when ctx has ended. Where that fails, Sweep does it later.
func (b *bucket) abort(ctx context.Context, name, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &name, UploadId: &id}, func(o *s3.Options) {
		o.Retryer = retry.AddWithMaxAttempts(o.Retryer, abortAttempts)
	})
	if err != nil && !uploadGone(err) {
		b.log.Warn("upload was left behind", "key", name, "upload_id", id, "error", oneLine(err))
	}
}

// uploadGone reports whether an upload is not there any more: completed, or aborted by somebody else.
func uploadGone(err error) bool {
	var gone *types.NoSuchUpload
	return errors.As(err, &gone)
}

// section is a piece of a body, which can be read again.
func section(body io.ReadSeeker, offset, length int64) io.ReadSeeker {
	if at, ok := body.(io.ReaderAt); ok {
		return io.NewSectionReader(at, offset, length)
	}
	return io.NewSectionReader(seekingReader{body}, offset, length)
}

// seekingReader reads anywhere in a body that can only seek. One section of it is read at a time.
type seekingReader struct{ body io.ReadSeeker }

func (s seekingReader) ReadAt(b []byte, offset int64) (int, error) {
	if _, err := s.body.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	return io.ReadFull(s.body, b)
}
