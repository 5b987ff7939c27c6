package object

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/hashicorp/go-hclog"
)

const (
	// maxPutBytes is what S3 takes in one PutObject.
	maxPutBytes = 5 << 30
	// settleTries is how often a Put that ran into another writer is looked at again.
	settleTries = 5
	// settlePause is the first pause between those; each later one is twice as long.
	settlePause = 100 * time.Millisecond
	// checkName is the object that Check writes once; no key can name it.
	checkName = hiddenDir + "/check"
	checkBody = "recfleet\n"
)

// bucket is a Store in an S3 bucket.
//
// An object is one PutObject with If-None-Match: * and its SHA-256, so that the service refuses a taken key (412, or
// 409 while another write is under way) and damaged bytes. A refusal also follows when the first answer was lost and
// the request repeated: what lies there is compared then.
type bucket struct {
	client    *s3.Client
	transport *http.Transport
	name      string
	prefix    string
	expect    Expectation
	patience  time.Duration
	log       hclog.Logger
}

func openBucket(ctx context.Context, loc Location, cfg Config) (*bucket, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = cfg.Attempts })
		}),
	}
	if loc.Region != "" {
		options = append(options, config.WithRegion(loc.Region))
	}
	awsConfig, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %s", oneLine(err))
	}
	if awsConfig.Region == "" && loc.Endpoint != "" {
		awsConfig.Region = "us-east-1" // other services take any, but the signature needs one
	}
	if awsConfig.Region == "" {
		return nil, locationError("no region; add ?region=NAME or set one in the AWS configuration")
	}
	// The SDK's own client hides its connections; Close must reach them. What it was configured with (a CA bundle)
	// carries over.
	transport := awshttp.NewBuildableClient().GetTransport()
	if configured, ok := awsConfig.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = configured.GetTransport()
	}
	transport.ResponseHeaderTimeout = cfg.ResponseTimeout
	b := &bucket{transport: transport, name: loc.Bucket, prefix: loc.Prefix, expect: loc.Expect, patience: cfg.ResponseTimeout, log: cfg.Logger}
	b.client = s3.NewFromConfig(awsConfig, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a bucket does not move, and credentials follow nobody
		}}
		o.UsePathStyle = loc.PathStyle
		if loc.Endpoint != "" {
			o.BaseEndpoint = aws.String(loc.Endpoint)
		}
	})
	return b, nil
}

func (b *bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

func (b *bucket) Put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (Info, error) {
	if err := ValidKey(key); err != nil {
		return Info{}, err
	}
	info, err := b.put(ctx, key, body, opts)
	if err != nil {
		return Info{}, fmt.Errorf("put object %s: %w", key, err)
	}
	return info, nil
}

func (b *bucket) put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (Info, error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return Info{}, fmt.Errorf("rewind body: %w", err)
	}
	digest, n, err := hashTo(ctx, io.Discard, body, opts)
	if err != nil {
		return Info{}, err
	}
	if n > maxPutBytes {
		return Info{}, fmt.Errorf("%d bytes, at most %d", n, int64(maxPutBytes))
	}
	info := Info{Key: key, Bytes: n, SHA256: digest}
	contentType := opts.ContentType
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	for try := range settleTries {
		if try > 0 {
			b.log.Warn("object put repeated", "key", key, "attempt", try+1)
			if err := pause(ctx, settlePause<<(try-1)); err != nil {
				return Info{}, failure(ctx, err)
			}
		}
		info.Version, err = b.putOnce(ctx, info, contentType, body)
		if err == nil {
			return info, nil
		}
		if !refused(err) {
			return Info{}, failure(ctx, err)
		}
		there, err := b.settle(ctx, info)
		if !errors.Is(err, ErrNotFound) {
			return there, err
		}
		// The other writer has not finished, or failed, or the object is gone again.
	}
	return Info{}, fmt.Errorf("%w: another writer holds the key", ErrUnavailable)
}

// putOnce sends the object and returns its version; the client repeats the request where that may help.
func (b *bucket) putOnce(ctx context.Context, info Info, contentType string, body io.ReadSeeker) (string, error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("rewind body: %w", err)
	}
	out, err := b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:         &b.name,
		Key:            aws.String(b.prefix + info.Key),
		Body:           struct{ io.ReadSeeker }{body}, // hides Close
		ContentLength:  &info.Bytes,
		ContentType:    &contentType,
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(info.SHA256[:])),
		IfNoneMatch:    aws.String("*"),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

// settle decides a Put that was refused: success when the bucket holds the same bytes.
func (b *bucket) settle(ctx context.Context, put Info) (Info, error) {
	there, err := b.stat(ctx, put.Key)
	if err != nil {
		return Info{}, err
	}
	if there.Bytes != put.Bytes {
		return Info{}, fmt.Errorf("%w: %d bytes there, %d put", ErrExists, there.Bytes, put.Bytes)
	}
	if there.SHA256.IsZero() {
		// Written by something else, or the service keeps no checksums.
		r, _, err := b.get(ctx, put.Key, 0, -1)
		if err != nil {
			return Info{}, err
		}
		there.SHA256, err = hashFile(ctx, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return Info{}, err
		}
	}
	if there.SHA256 != put.SHA256 {
		return Info{}, fmt.Errorf("%w: sha256 %s there, %s put", ErrExists, there.SHA256, put.SHA256)
	}
	return there, nil
}

// errOverwrites means that If-None-Match has no effect.
var errOverwrites = errors.New("the service ignores If-None-Match, so objects could be overwritten")

// Check puts one small object twice, the second time in vain. It stays in the bucket: there is no right to delete.
func (b *bucket) Check(ctx context.Context) error {
	err := b.tryPuts(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOverwrites):
		err = unavailable(err)
	default:
		err = failure(ctx, err)
	}
	return fmt.Errorf("check archive bucket %s: %w", b.name, err)
}

// tryPuts is Check with the service's own errors, or errOverwrites.
func (b *bucket) tryPuts(ctx context.Context) error {
	digest, n, err := hashTo(ctx, io.Discard, strings.NewReader(checkBody), PutOptions{})
	if err != nil {
		return err
	}
	info := Info{Key: checkName, Bytes: n, SHA256: digest}
	for range 2 {
		if _, err := b.putOnce(ctx, info, "text/plain", strings.NewReader(checkBody)); refused(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return errOverwrites
}

// checksum reads the SHA-256 that S3 keeps; that of a multipart upload is none of the whole object.
func checksum(value *string, kind types.ChecksumType) Digest {
	sum, err := base64.StdEncoding.DecodeString(aws.ToString(value))
	if err != nil || len(sum) != len(Digest{}) || kind == types.ChecksumTypeComposite {
		return Digest{}
	}
	return Digest(sum)
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
