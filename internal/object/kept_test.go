package object

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A newer version or a delete marker over an object does not change what is read of the version that was put.
func TestS3ReadsTheVersionThatWasPut(t *testing.T) {
	g := startGateway(t)
	name := g.versioned(t)
	s := openS3(t, name, g.addr, Config{PartBytes: leastPart})
	for _, content := range [][]byte{small(), large()} {
		info := mustPut(t, s, "a/v.mp4", content)
		if info.Version == "" {
			t.Fatal("no version")
		}
		key := aws.String("some/prefix/a/v.mp4")
		check := func(after string) {
			t.Helper()
			for _, c := range []struct{ offset, length int64 }{{0, -1}, {100, 50}, {5, -1}, {3, 0}} {
				r, got, err := s.GetVersion(t.Context(), "a/v.mp4", info.Version, c.offset, c.length)
				if err != nil {
					t.Errorf("%s: get %d+%d: %v", after, c.offset, c.length, err)
					continue
				}
				var read bytes.Buffer
				if _, err := read.ReadFrom(r); err != nil {
					t.Errorf("%s: read %d+%d: %v", after, c.offset, c.length, err)
				}
				r.Close()
				end := int64(len(content))
				if c.length >= 0 {
					end = c.offset + c.length
				}
				if !bytes.Equal(read.Bytes(), content[c.offset:end]) || got.Bytes != info.Bytes {
					t.Errorf("%s: %d+%d: got %d bytes of %d", after, c.offset, c.length, read.Len(), got.Bytes)
				}
			}
			if got, err := s.StatVersion(t.Context(), "a/v.mp4", info.Version); err != nil || got != info {
				t.Errorf("%s: stat: got %+v, %v, want %+v", after, got, err, info)
			}
		}
		check("put")
		if _, err := g.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: key, Body: strings.NewReader("forged")}); err != nil {
			t.Fatal(err)
		}
		check("put over it")
		if _, err := g.client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: key}); err != nil {
			t.Fatal(err)
		}
		check("deleted")
		if _, err := s.Stat(t.Context(), "a/v.mp4"); err == nil {
			t.Error("the newest version is no delete marker")
		}
		if _, err := g.client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: key, VersionId: &info.Version}); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.GetVersion(t.Context(), "a/v.mp4", info.Version, 0, -1)
		wantErr(t, "get the version that is gone", err, ErrNotFound)
		_, err = s.StatVersion(t.Context(), "a/v.mp4", info.Version)
		wantErr(t, "stat the version that is gone", err, ErrNotFound)
		if err := s.Delete(t.Context(), "a/v.mp4"); err != nil {
			t.Fatal(err)
		}
	}
}

// What a delete marker hides is found and deleted all the same.
func TestS3WhatIsHiddenRemains(t *testing.T) {
	g := startGateway(t)
	name := g.versioned(t)
	s := openS3(t, name, g.addr, Config{})
	mustPut(t, s, "a/seen", []byte("x"))
	mustPut(t, s, "a/hidden", []byte("x"))
	mustPut(t, s, "b/other", []byte("x"))
	if _, err := g.client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: aws.String("some/prefix/a/hidden")}); err != nil {
		t.Fatal(err)
	}
	remains := func() (keys []string) {
		for key, err := range s.Remains(t.Context(), "a/") {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return keys
	}
	if got := remains(); !slices.Equal(got, []string{"a/hidden", "a/seen"}) || len(keysOf(t, s)) != 2 {
		t.Errorf("%v, of those to be seen %v", got, keysOf(t, s))
	}
	for _, key := range remains() {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if got := remains(); len(got) != 0 || g.countVersions(t, name, "a/") != 0 {
		t.Errorf("left: %v", got)
	}
	for _, err := range s.Remains(t.Context(), "../") {
		wantErr(t, "remains of ../", err, ErrKey)
	}
}

// What a location says of how objects are kept is in every request that makes one, and in no other.
func TestS3RequestsSayHowObjectsAreKept(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	var mu sync.Mutex
	seen := map[stage]http.Header{}
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			at := stageOf(r)
			if strings.HasSuffix(r.URL.Path, checkName) {
				at = "check"
			}
			seen[at] = r.Header.Clone()
			mu.Unlock()
			// The gateway's bucket has no object lock.
			for _, h := range []string{"X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date"} {
				if r.Header.Get(h) != "" && !strings.Contains(r.Header.Get("Authorization"), strings.ToLower(h)) {
					t.Errorf("%s is not signed", h)
				}
			}
			if at == stagePut || at == stageCreate {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	loc, err := ParseLocation("s3://" + name + "@" + addr + "/some/prefix/{start_date}/u-{username}/{session_id}/?insecure=true&sse=kms&kms_key=alias/rec&" +
		"storage_class=standard_ia&retain=compliance&retain_days=30&tag.team=security&tag.user={username}&tag.who={session_id}.of.{start_date}")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), loc, Config{PartBytes: leastPart})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	folder, err := loc.Template.Expand(map[string]string{"start_date": "2026-01-02", "username": "ann", "session_id": "s1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{small(), large()} {
		_, err := s.Put(t.Context(), folder+"video-000001.mp4", bytes.NewReader(content), PutOptions{ContentType: "video/mp4"})
		wantErr(t, "put", err, ErrUnavailable)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	tags := url.Values{"team": {"security"}, "user": {"ann"}, "who": {"s1.of.2026-01-02"}}.Encode()
	want := map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/rec", "X-Amz-Storage-Class": "STANDARD_IA",
		"X-Amz-Object-Lock-Mode": "COMPLIANCE", "X-Amz-Tagging": tags, "Content-Type": "video/mp4",
	}
	for _, at := range []stage{stagePut, stageCreate} {
		for name, value := range want {
			if got := seen[at].Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", at, name, got, value)
			}
		}
		until, err := time.Parse(time.RFC3339, seen[at].Get("X-Amz-Object-Lock-Retain-Until-Date"))
		if days := time.Until(until).Hours() / 24; err != nil || days < 29.9 || days > 30.1 {
			t.Errorf("%s: locked until %v, %v", at, until, err)
		}
	}
	check := seen["check"]
	if check.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || check.Get("X-Amz-Object-Lock-Mode") != "" || check.Get("X-Amz-Storage-Class") != "" ||
		check.Get("X-Amz-Tagging") != (url.Values{"team": {"security"}, "user": {"none"}, "who": {"none.of.none"}}).Encode() {
		t.Errorf("check: %v", check)
	}
}

// The gateway takes tags and encryption, and locks objects.
func TestS3ObjectsAreTaggedAndLocked(t *testing.T) {
	g := startGateway(t)
	name := bucketName(t)
	if _, err := g.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	loc, err := ParseLocation("s3://" + name + "@" + g.addr + "/{username}/{session_id}/?insecure=true&sse=s3&retain=governance&retain_days=1&tag.user={username}")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), loc, Config{PartBytes: leastPart})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for key, content := range map[string][]byte{"ann/s/small.mp4": small(), "ann/s/large.mp4": large()} {
		info := mustPut(t, s, key, content)
		tags, err := g.client().GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &name, Key: &key})
		if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Key != "user" || *tags.TagSet[0].Value != "ann" {
			t.Errorf("%s: tags %+v, %v", key, tags, err)
		}
		lock, err := g.client().GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &name, Key: &key})
		if err != nil || lock.Retention.Mode != "GOVERNANCE" || time.Until(*lock.Retention.RetainUntilDate) < 23*time.Hour {
			t.Errorf("%s: locked %+v, %v", key, lock, err)
		}
		wantErr(t, "delete what is locked", s.Delete(t.Context(), key), ErrUnavailable)
		if got, err := s.StatVersion(t.Context(), key, info.Version); err != nil || got != info {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
}
