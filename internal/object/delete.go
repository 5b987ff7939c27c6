package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Delete removes the object, then what is kept of it, then the folders that are empty without them.
func (d *directory) Delete(ctx context.Context, key string) error {
	if err := ValidKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range []string{key, sumName(key)} {
		if err := d.remove(name); err != nil {
			return fmt.Errorf("delete object %s: %w", key, err)
		}
	}
	return nil
}

// Remains is List: nothing is hidden in a directory.
func (d *directory) Remains(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range d.List(ctx, prefix) {
			if !yield(info.Key, err) {
				return
			}
		}
	}
}

// remove removes a file and makes that durable.
func (d *directory) remove(name string) error {
	err := d.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	dir := path.Dir(name)
	for dir != "." && dir != hiddenDir && dir != sumsDir {
		// A folder that is not empty stays. A writer that has just made it makes it again.
		if d.root.Remove(dir) != nil {
			break
		}
		dir = path.Dir(dir)
	}
	for {
		err := d.syncDirs(dir)
		if dir == "." || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		dir = path.Dir(dir) // somebody else has removed it
	}
}

// Delete removes every version of the object and every mark that it was deleted; without versions, the object.
func (b *bucket) Delete(ctx context.Context, key string) error {
	if err := ValidKey(key); err != nil {
		return err
	}
	if err := b.deleteVersions(ctx, b.prefix+key); err != nil {
		return fmt.Errorf("delete object %s: %w", key, failure(ctx, err))
	}
	return nil
}

// Remains asks for versions and delete markers.
func (b *bucket) Remains(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := validPrefix(prefix); err != nil {
			yield("", err)
			return
		}
		told := map[string]bool{}
		pages := s3.NewListObjectVersionsPaginator(b.client, &s3.ListObjectVersionsInput{Bucket: &b.name, Prefix: aws.String(b.prefix + prefix)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", fmt.Errorf("list versions %s: %w", prefix, failure(ctx, err)))
				return
			}
			var names []*string
			for _, v := range page.Versions {
				names = append(names, v.Key)
			}
			for _, m := range page.DeleteMarkers {
				names = append(names, m.Key)
			}
			for _, name := range names {
				key, inRoot := strings.CutPrefix(aws.ToString(name), b.prefix)
				if !inRoot || told[key] || ValidKey(key) != nil {
					continue
				}
				told[key] = true
				if !yield(key, nil) {
					return
				}
			}
		}
	}
}

func (b *bucket) deleteVersions(ctx context.Context, name string) error {
	pages := s3.NewListObjectVersionsPaginator(b.client, &s3.ListObjectVersionsInput{Bucket: &b.name, Prefix: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		var versions []*string
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == name {
				versions = append(versions, v.VersionId)
			}
		}
		for _, m := range page.DeleteMarkers {
			if aws.ToString(m.Key) == name {
				versions = append(versions, m.VersionId)
			}
		}
		for _, version := range versions {
			if _, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &name, VersionId: version}); err != nil {
				return err
			}
		}
	}
	return nil
}
