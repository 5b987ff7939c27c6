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
	"github.com/hashicorp/go-hclog"
)

const (
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
// An object is one PutObject, or an upload in parts where it is larger than one, with If-None-Match: * and SHA-256, so that the
// service refuses a taken key (412, or 409 while another write is under way) and damaged bytes. A refusal also follows when the
// first answer was lost and the request repeated: what lies there is compared then.
type bucket struct {
	client    *s3.Client
	transport *http.Transport
	name      string
	prefix    string
	template  Template
	storage   Storage
	expect    Expectation
	partBytes int64
	patience  time.Duration
	presign   time.Duration // how long links are good; 0 for none
	log       hclog.Logger
}

func openBucket(ctx context.Context, loc Location, cfg Config) (*bucket, error) {
	var options []func(*config.LoadOptions) error
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
	transport.DialContext = dialer(transport.DialContext).patient(cfg.ResponseTimeout)
	b := &bucket{
		transport: transport, name: loc.Bucket, prefix: loc.Prefix, template: loc.Template, storage: loc.Storage, expect: loc.Expect,
		partBytes: cfg.PartBytes, patience: cfg.ResponseTimeout, presign: loc.Presign, log: cfg.Logger,
	}
	credentials := newCredentials(awsConfig.Credentials, cfg, options)
	awsConfig.Credentials = credentials.cache
	b.client = s3.NewFromConfig(awsConfig, func(o *s3.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = cfg.Attempts, cfg.MaxPause
			r.Retryables = append(r.Retryables, credentials, damaged)
		})
		o.HTTPClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a bucket does not move, and credentials follow nobody
		}}
		o.UsePathStyle = loc.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true // of what was put in parts: the reader compares the whole
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

// sending is an object that is being put.
type sending struct {
	info        Info
	contentType string
	upload      upload // has no sums where it goes up in one piece
}

func (b *bucket) put(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (Info, error) {
	o, err := b.prepare(ctx, key, body, opts)
	if err != nil {
		return Info{}, err
	}
	for try := range settleTries {
		if try > 0 {
			b.log.Warn("object put repeated", "key", key, "attempt", try+1)
			if err := pause(ctx, settlePause<<(try-1)); err != nil {
				return Info{}, failure(ctx, err)
			}
		}
		o.info.Version, err = b.putOnce(ctx, o, body)
		if err == nil {
			return o.info, nil
		}
		if !refused(err) && !uploadGone(err) {
			return Info{}, failure(ctx, err)
		}
		there, settleErr := b.settle(ctx, o)
		switch {
		case errors.Is(settleErr, errNoRight) && taken(err):
			return Info{}, fmt.Errorf("%w: %w", ErrUnread, settleErr)
		case errors.Is(settleErr, errNoRight): // it is not known yet whether something is there
		case !errors.Is(settleErr, ErrNotFound):
			return there, settleErr
		}
		// The other writer has not finished, or failed, or the object is gone again.
	}
	return Info{}, fmt.Errorf("%w: another writer holds the key", ErrUnavailable)
}

// prepare reads the body once, for its size and its digests.
func (b *bucket) prepare(ctx context.Context, key string, body io.ReadSeeker, opts PutOptions) (o sending, err error) {
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return o, fmt.Errorf("measure body: %w", err)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return o, fmt.Errorf("rewind body: %w", err)
	}
	if size > maxObjectBytes {
		return o, fmt.Errorf("%d bytes, at most %d", size, int64(maxObjectBytes))
	}
	to := io.Discard
	var sums *partSums
	if size > b.partBytes {
		sums = newPartSums(partSize(size, b.partBytes))
		to = sums
	}
	digest, n, err := hashTo(ctx, to, body, opts)
	if err != nil {
		return o, err
	}
	if n != size {
		return o, fmt.Errorf("read body: %d bytes came instead of %d", n, size)
	}
	o = sending{info: Info{Key: key, Bytes: n, SHA256: digest}, contentType: opts.ContentType}
	if o.contentType == "" {
		o.contentType = "application/octet-stream"
	}
	if sums != nil {
		sums.finish()
		o.upload = sums.upload
	}
	return o, nil
}

// putOnce sends the object and returns its version; the client repeats requests where that may help.
func (b *bucket) putOnce(ctx context.Context, o sending, body io.ReadSeeker) (string, error) {
	if o.upload.sums != nil {
		return b.putParts(ctx, o, body)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("rewind body: %w", err)
	}
	kept := b.storage.request(b.template, o.info.Key, time.Now())
	out, err := b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:               &b.name,
		Key:                  aws.String(b.prefix + o.info.Key),
		Body:                 struct{ io.ReadSeeker }{body}, // hides Close
		ContentLength:        &o.info.Bytes,
		ContentType:          &o.contentType,
		ChecksumSHA256:       aws.String(base64.StdEncoding.EncodeToString(o.info.SHA256[:])),
		IfNoneMatch:          aws.String("*"),
		Metadata:             metadataOf(o.info.SHA256),
		ServerSideEncryption: kept.encryption, SSEKMSKeyId: kept.kmsKey, StorageClass: kept.class, Tagging: kept.tagging,
		ObjectLockMode: kept.lock, ObjectLockRetainUntilDate: kept.until,
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

// errNoRight says that an object may not be looked at, if there is one.
var errNoRight = errors.New("no right to read")

// settle decides a Put that was refused: success when the bucket holds the same bytes.
func (b *bucket) settle(ctx context.Context, put sending) (Info, error) {
	there, sum, err := b.head(ctx, put.info.Key, "")
	if err != nil {
		return Info{}, err
	}
	if there.Bytes != put.info.Bytes {
		return Info{}, fmt.Errorf("%w: %d bytes there, %d put", ErrExists, there.Bytes, put.info.Bytes)
	}
	verified := sum.whole
	switch {
	case !verified.IsZero():
	case put.upload.sums != nil && sum.composite == put.upload.composite():
		verified = put.info.SHA256 // cut the same way, each part the same
	case there.SHA256.IsZero() || there.SHA256 == put.info.SHA256:
		// Nobody but its writer says what it is, if anybody.
		r, _, err := b.get(ctx, put.info.Key, there.Version, 0, -1)
		if err != nil {
			return Info{}, err
		}
		verified, err = hashFile(ctx, r)
		if err := errors.Join(err, r.Close()); err != nil && !errors.Is(err, ErrDigest) {
			return Info{}, err
		}
	default:
		verified = there.SHA256
	}
	if verified != put.info.SHA256 {
		return Info{}, fmt.Errorf("%w: sha256 %s there, %s put", ErrExists, verified, put.info.SHA256)
	}
	there.SHA256 = verified
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
	body := strings.NewReader(checkBody)
	o, err := b.prepare(ctx, checkName, body, PutOptions{ContentType: "text/plain"})
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := b.putOnce(ctx, o, body); refused(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return errOverwrites
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
