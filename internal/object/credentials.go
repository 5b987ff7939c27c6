package object

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/go-hclog"
)

const (
	// fresh is how long before their end credentials are asked for anew.
	fresh = time.Minute
	// kept is how long the last good credentials are used on where newer ones cannot be had.
	kept = 10 * time.Second
	// rejections is the least time between two readings for the reason that the service did not take the credentials.
	rejections = 5 * time.Second
)

// credentials are those of the SDK's default chain, looked for again and again: the SDK itself reads a file's only once, and
// whoever rotates them there expects the next request to know.
type credentials struct {
	options []func(*config.LoadOptions) error
	reread  time.Duration
	log     hclog.Logger
	cache   *aws.CredentialsCache

	mu       sync.Mutex
	source   aws.CredentialsProvider // the chain's last answer, while it renews credentials itself
	last     aws.Credentials         // the last good ones
	rejected time.Time
}

// newCredentials uses the chain's answer that first is.
func newCredentials(first aws.CredentialsProvider, cfg Config, options []func(*config.LoadOptions) error) *credentials {
	c := &credentials{options: options, reread: cfg.Reread, log: cfg.Logger, source: first}
	c.cache = aws.NewCredentialsCache(aws.CredentialsProviderFunc(c.retrieve))
	return c
}

// retrieve returns credentials with the time at which they are to be asked for again. The cache calls it one at a time.
func (c *credentials) retrieve(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	source, last := c.source, c.last
	c.mu.Unlock()
	found, source, err := c.look(ctx, source)
	now := time.Now()
	switch {
	case err == nil && found.CanExpire:
		last = found
		if early := found.Expires.Add(-fresh); early.After(now) {
			found.Expires = early
		}
	case err == nil:
		last, source = found, nil
		found.CanExpire, found.Expires = true, now.Add(c.reread)
	case last.HasKeys() && (!last.CanExpire || now.Before(last.Expires)) && ctx.Err() == nil:
		// The file may be just being written.
		c.log.Warn("credentials not read again", "error", oneLine(err))
		found, source = last, nil
		found.CanExpire, found.Expires = true, now.Add(kept)
	default:
		return aws.Credentials{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source, c.last = source, last
	return found, nil
}

// look asks the source, or without one the chain from its beginning.
func (c *credentials) look(ctx context.Context, source aws.CredentialsProvider) (aws.Credentials, aws.CredentialsProvider, error) {
	if source == nil {
		loaded, err := config.LoadDefaultConfig(ctx, c.options...)
		if err != nil {
			return aws.Credentials{}, nil, err
		}
		if source = loaded.Credentials; source == nil {
			return aws.Credentials{}, nil, errors.New("no credentials in the AWS configuration")
		}
	}
	found, err := source.Retrieve(ctx)
	return found, source, err
}

// IsErrorRetryable has a request repeated whose credentials the service did not take, with those that are found now: they may
// have been rotated since they were read. It does so once in a while, or everything that is refused would be asked twice.
func (c *credentials) IsErrorRetryable(err error) aws.Ternary {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return aws.UnknownTernary
	}
	switch api.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "TokenRefreshRequired",
		"XAdminUserNotFound": // versitygw
	default:
		return aws.UnknownTernary
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.rejected) < rejections {
		return aws.FalseTernary
	} else {
		c.rejected = now
	}
	c.source = nil
	c.cache.Invalidate()
	return aws.TrueTernary
}
