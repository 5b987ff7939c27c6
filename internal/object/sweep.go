package object

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Sweep removes what writers that died have left behind and that is older than age: in a bucket the parts of uploads that were
// never completed, in a directory temporary files. No object is ever among them. It returns how many there were. The age must be
// well above the longest Put. Reading and removing uploads takes the rights s3:ListBucketMultipartUploads and
// s3:AbortMultipartUpload. It is idempotent, and may run while others put and sweep. Error: ErrUnavailable. A store that another
// package made is not looked at.
func Sweep(ctx context.Context, s Store, age time.Duration) (removed int, err error) {
	w, ok := s.(interface {
		sweep(ctx context.Context, before time.Time) (int, error)
	})
	if !ok {
		return 0, nil
	}
	return w.sweep(ctx, time.Now().Add(-age))
}

func (d *directory) sweep(ctx context.Context, before time.Time) (int, error) {
	removed, err := d.removeTemps(ctx, time.Since(before))
	if err != nil {
		return removed, fmt.Errorf("sweep archive directory %s: %w", d.root.Name(), err)
	}
	return removed, nil
}

func (b *bucket) sweep(ctx context.Context, before time.Time) (removed int, err error) {
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &b.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return removed, b.sweepError(ctx, err)
		}
		for _, u := range page.Uploads {
			key, inRoot := strings.CutPrefix(aws.ToString(u.Key), b.prefix)
			if !inRoot || ValidKey(key) != nil || u.Initiated == nil || !u.Initiated.Before(before) {
				continue
			}
			_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId})
			if err != nil && !uploadGone(err) {
				return removed, b.sweepError(ctx, err)
			}
			removed++
		}
	}
	return removed, nil
}

func (b *bucket) sweepError(ctx context.Context, err error) error {
	return fmt.Errorf("sweep archive bucket %s: %w", b.name, failure(ctx, err))
}
