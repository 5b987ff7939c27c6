package custody_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/recfleet/recfleet/cli/custody"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

const access, secret = "recfleet-test", "recfleet-test-secret"

// bucket is one that keeps versions, of a real S3 server, and who may change it behind the archive's back.
type bucket struct {
	at   string // its URL, without a prefix
	root *s3.Client
	name string
	stop func() // the server
}

// newBucket starts a server and makes a bucket. Without the program the test is skipped, but fails on CI.
func newBucket(t *testing.T) *bucket {
	t.Helper()
	program := os.Getenv("RECFLEET_TEST_VERSITYGW")
	if program == "" {
		program = "../../bin/tools/versitygw"
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no S3 server to test with: put versitygw into bin/tools, or set RECFLEET_TEST_VERSITYGW: %v", err)
	}
	dir := t.TempDir()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"),
	} {
		t.Setenv(name, value)
	}
	var err error
	for range 3 { // another process may take the port between finding it and starting
		b := &bucket{}
		if err = b.start(t, program, t.TempDir()); err == nil {
			return b
		}
	}
	t.Fatal(err)
	return nil
}

func (b *bucket) start(t *testing.T, program, dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	l.Close()
	b.name = "archive"
	root, versions := filepath.Join(dir, "buckets"), filepath.Join(dir, "versions")
	if err := errors.Join(os.Mkdir(root, 0o750), os.Mkdir(versions, 0o750)); err != nil {
		return err
	}
	cmd := exec.Command(program, "--port", addr, "--health", "/healthz", "--quiet", "posix", "--versioning-dir", versions, root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+access, "ROOT_SECRET_KEY="+secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	b.stop = func() {
		cmd.Process.Kill()
		<-exited
	}
	t.Cleanup(b.stop)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for up := false; !up; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			up = answer.StatusCode == http.StatusOK
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-exited:
			return errors.New("versitygw exited")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.at = "s3://" + b.name + "@" + addr + "/%s/?insecure=true"
	location, err := object.ParseLocation(fmt.Sprintf(b.at, "x") + "&versioning=true")
	if err != nil {
		return err
	}
	b.root = s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + addr), UsePathStyle: true, Region: "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: access, SecretAccessKey: secret}, nil
		}),
	})
	return object.MakeBucket(ctx, location, object.Config{})
}

// open opens the archive below a prefix.
func (b *bucket) open(t *testing.T, prefix string, readOnly bool) object.Store {
	t.Helper()
	location, err := object.ParseLocation(fmt.Sprintf(b.at, prefix))
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{ReadOnly: readOnly, PartBytes: 5 << 20, Attempts: 2, MaxPause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// overwrite puts another version over an object, as anybody with the right to put can.
func (b *bucket) overwrite(t *testing.T, key string, content []byte) {
	t.Helper()
	if _, err := b.root.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
}

// hide deletes an object as people do, which leaves its versions below a marker.
func (b *bucket) hide(t *testing.T, key string) {
	t.Helper()
	if _, err := b.root.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b.name, Key: &key}); err != nil {
		t.Fatal(err)
	}
}

// An archive in a bucket is verified by the bucket and the public keys, and whatever is done to the bucket is found out.
func TestWhatIsDoneToABucketIsFoundOut(t *testing.T) {
	b := newBucket(t)
	foreign := newKey(t)
	type scene struct {
		*archive
		at func(key string) string // in the bucket
		s  object.Store
	}
	for name, test := range map[string]struct {
		tamper func(*testing.T, scene)
		kind   custody.Kind // empty for a whole archive
		about  string
	}{
		"nothing": {func(*testing.T, scene) {}, "", ""},
		"an mp4 is deleted for ever": {func(t *testing.T, c scene) {
			if err := c.s.Delete(t.Context(), "f/s1/video-000002.mp4"); err != nil {
				t.Fatal(err)
			}
		}, custody.Removed, "f/s1/video-000002.mp4 is not in the archive"},
		"an mp4 is hidden by a marker": {func(t *testing.T, c scene) { b.hide(t, c.at("f/s2/video-000001.mp4")) }, custody.Removed, "f/s2/video-000001.mp4 is not in the archive"},
		"thumbnails are hidden":        {func(t *testing.T, c scene) { b.hide(t, c.at("f/s1/video-000001.thumbnails.jpg")) }, custody.Removed, "thumbnails.jpg is not in the archive"},
		"a manifest is hidden":         {func(t *testing.T, c scene) { b.hide(t, c.at("f/s1/manifest.json")) }, custody.Removed, "f/s1/manifest.json is not in the archive"},
		"an end marker is hidden":      {func(t *testing.T, c scene) { b.hide(t, c.at("f/s1/complete.json")) }, custody.Removed, "f/s1/complete.json is not in the archive"},
		"a digest is hidden":           {func(t *testing.T, c scene) { b.hide(t, c.at(c.days[0].Key(evidence.DigestName))) }, custody.Removed, "the digests before"},
		"an audit is hidden":           {func(t *testing.T, c scene) { b.hide(t, c.at(c.days[1].Key(evidence.AuditName))) }, custody.Removed, "audit.ndjson is not in the archive"},
		"a signature is hidden":        {func(t *testing.T, c scene) { b.hide(t, c.at("f/s2/manifest.json.sig")) }, custody.Signature, "f/s2/manifest.json is not signed"},
		"other content over an mp4":    {func(t *testing.T, c scene) { b.overwrite(t, c.at("f/s1/video-000001.mp4"), []byte("forged")) }, custody.Altered, "signed are"},
		"the same content over an mp4": {func(t *testing.T, c scene) {
			b.overwrite(t, c.at("f/s1/video-000001.mp4"), c.content["f/s1/video-000001.mp4"])
		}, custody.Added, "has a newer version"},
		"a byte over an mp4 of parts": {func(t *testing.T, c scene) {
			b.overwrite(t, c.at("f/s2/video-000001.mp4"), flipped(c.content["f/s2/video-000001.mp4"]))
		}, custody.Altered, "f/s2/video-000001.mp4 has SHA-256"},
		"the same over a manifest": {func(t *testing.T, c scene) {
			b.overwrite(t, c.at("f/s1/manifest.json"), c.content["f/s1/manifest.json"])
		}, custody.Added, "has a newer version"},
		"another manifest, and signed":  {func(t *testing.T, c scene) { b.forge(t, c.at, c.content, "f/s1/manifest.json", foreign) }, custody.Altered, "f/s1/manifest.json has SHA-256"},
		"another digest, and signed":    {func(t *testing.T, c scene) { b.forge(t, c.at, c.content, c.days[1].Key(evidence.DigestName), foreign) }, custody.Signature, "is not signed with any of the keys"},
		"another audit":                 {func(t *testing.T, c scene) { b.overwrite(t, c.at(c.days[0].Key(evidence.AuditName)), []byte("{}\n")) }, custody.Altered, "audit.ndjson has SHA-256"},
		"other metadata":                {func(t *testing.T, c scene) { b.overwrite(t, c.at("f/s1/metadata.json"), []byte(`{"user":"eve"}`)) }, custody.Altered, "f/s1/metadata.json has SHA-256"},
		"something is added":            {func(t *testing.T, c scene) { b.overwrite(t, c.at("f/s1/other.mp4"), []byte("x")) }, custody.Added, "f/s1/other.mp4 is in no manifest"},
		"a deleted session's mp4 again": {func(t *testing.T, c scene) { b.overwrite(t, c.at("f/s3/video-000001.mp4"), []byte("x")) }, custody.Added, "though the session was deleted by ann"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)
			store := b.open(t, prefix, false)
			size := 3000
			if name == "nothing" || strings.Contains(name, "of parts") {
				size = 6 << 20 // is put in parts
			}
			a := newArchive(t, store, size)
			test.tamper(t, scene{a, func(key string) string { return prefix + "/" + key }, store})
			r, err := custody.Verify(t.Context(), b.open(t, prefix, true), custody.Config{Keys: []ed25519.PublicKey{a.public()}, Until: a.days[1], Settled: true})
			switch {
			case err != nil:
				t.Fatal(err)
			case test.kind == "" && (!r.Verified || len(r.Problems) > 0 || r.Days != 2 || r.Sessions != 2 || r.Deleted != 1 || r.AuditRecords != 3 || r.Objects != len(a.content)):
				t.Errorf("a whole archive of %d objects: %+v", len(a.content), r)
			case test.kind != "" && (r.Verified || len(r.Problems) == 0):
				t.Errorf("was not found out: %+v", r)
			case test.kind != "" && (r.Problems[0].Kind != test.kind || !strings.Contains(r.Problems[0].Error(), test.about)):
				t.Errorf("found as %+v", r.Problems)
			}
		})
	}
}

// A bucket that cannot be reached is neither sound nor tampered with.
func TestABucketThatIsAwayIsNotJudged(t *testing.T) {
	b := newBucket(t)
	a := newArchive(t, b.open(t, "x", false), 3000)
	store := b.open(t, "x", true)
	cfg := custody.Config{Keys: []ed25519.PublicKey{a.public()}, Until: a.days[1]}
	cfg.Progress = func(int64, int64) { b.stop() } // once the first bytes were read
	for _, when := range []string{"while it is read", "before"} {
		r, err := custody.Verify(t.Context(), store, cfg)
		if !errors.Is(err, object.ErrUnavailable) || r.Verified {
			t.Errorf("away %s: %v, %+v", when, err, r)
		}
	}
}

// forge puts a document over one, changed and signed with a key of one's own.
func (b *bucket) forge(t *testing.T, at func(string) string, content map[string][]byte, key string, with ed25519.PrivateKey) {
	t.Helper()
	raw := bytes.Replace(content[key], []byte("s1"), []byte("s9"), 1)
	raw = bytes.Replace(raw, []byte("s2"), []byte("s9"), 1)
	if bytes.Equal(raw, content[key]) {
		t.Fatalf("%s is not changed", key)
	}
	b.overwrite(t, at(key), raw)
	b.overwrite(t, at(key+".sig"), ed25519.Sign(with, raw))
}

func flipped(content []byte) []byte {
	other := bytes.Clone(content)
	other[len(other)/2] ^= 1
	return other
}
