package object

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// MakeBucket makes the bucket of a location where there is none, and has it keep versions where the location expects that. It is
// idempotent. It is meant for a service of one's own; a bucket at AWS is made with what else belongs to it. Error: ErrUnavailable.
func MakeBucket(ctx context.Context, loc Location, cfg Config) error {
	if loc.Scheme != SchemeS3 {
		return locationError("%s has no bucket", loc)
	}
	b, err := openBucket(ctx, loc, cfg.withDefaults())
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // it gives back connections, which cannot fail
	if err := b.make(ctx); err != nil {
		return fmt.Errorf("make archive bucket %s: %w", b.name, failure(ctx, err))
	}
	return nil
}

func (b *bucket) make(ctx context.Context) error {
	_, err := b.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.name})
	var mine *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &mine) {
		return err
	}
	if !b.expect.Versioning {
		return nil
	}
	_, err = b.client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	return err
}
