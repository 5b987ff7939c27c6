package object

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func testDelete(t *testing.T, s Store) {
	ctx := t.Context()
	for _, key := range []string{"a/b/one", "a/b/one.more", "a/b/two", "a/c"} {
		mustPut(t, s, key, []byte(key))
	}
	for range 2 {
		if err := s.Delete(ctx, "a/b/one"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Stat(ctx, "a/b/one"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
	var left []string
	for info, err := range s.List(ctx, "a/") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Key)
	}
	if len(left) != 3 {
		t.Errorf("left: %v", left)
	}
	if err := s.Delete(ctx, "../a"); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	if info := mustPut(t, s, "a/b/one", []byte("another")); info.Bytes != 7 {
		t.Errorf("%+v", info)
	}
	if info, err := s.Stat(ctx, "a/b/one"); err != nil || info.SHA256 != sumOf([]byte("another")) {
		t.Errorf("what was kept of the one before was told of this one: %+v, %v", info, err)
	}
	// Folders that become empty go while others are put into them.
	var group sync.WaitGroup
	for _, key := range []string{"x/y/1", "x/y/2", "x/y/3"} {
		group.Go(func() {
			for range 30 {
				if _, err := s.Put(ctx, key, bytes.NewReader([]byte(key)), PutOptions{}); err != nil {
					t.Error(err)
				}
				if err := s.Delete(ctx, key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func sumOf(content []byte) Digest {
	d, _, err := hashTo(context.Background(), io.Discard, bytes.NewReader(content), PutOptions{})
	if err != nil {
		panic(err)
	}
	return d
}

func TestDirectoryDeleteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Config{})
	mustPut(t, s, "day/user/session/video", []byte("x"))
	if err := s.Delete(t.Context(), "day/user/session/video"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "day")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folders are left: %v", err)
	}
	if got := files(t, dir); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

func TestBucketDeleteRemovesAllVersions(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	if _, err := g.client().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	s := openS3(t, name, g.addr, Config{})
	mustPut(t, s, "a/b", []byte("one"))
	mustPut(t, s, "a/b.c", []byte("stays"))
	// Somebody else has deleted it and put it again.
	key := aws.String("some/prefix/a/b")
	if _, err := g.client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: key}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: key, Body: bytes.NewReader([]byte("two"))}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	left, err := g.client().ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &name, Prefix: aws.String("some/prefix/a/")})
	if err != nil || len(left.Versions) != 1 || len(left.DeleteMarkers) != 0 || aws.ToString(left.Versions[0].Key) != "some/prefix/a/b.c" {
		t.Errorf("%+v, %v", left, err)
	}
}
