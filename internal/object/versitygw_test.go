package object

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	gatewayAccess = "recfleet-test"
	gatewaySecret = "recfleet-test-secret"
)

// gateway is a real S3 server: versitygw as a child process, its buckets directories of a temporary one.
type gateway struct {
	addr     string
	root     string
	versions string
}

// startGateway starts versitygw and stops it with the test. Without the program the test is skipped, but fails on CI.
// The environment gets the credentials, as on a host with the AWS configuration.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	program := findGateway(t)
	root := t.TempDir()
	t.Setenv("AWS_ACCESS_KEY_ID", gatewayAccess)
	t.Setenv("AWS_SECRET_ACCESS_KEY", gatewaySecret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(root, "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(root, "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")

	// Another process may take the port between finding it and starting: three tries.
	for try := 1; ; try++ {
		g := &gateway{addr: freeAddr(t), root: filepath.Join(root, fmt.Sprint("buckets", try)), versions: filepath.Join(root, fmt.Sprint("versions", try))}
		for _, dir := range []string{g.root, g.versions} {
			if err := os.MkdirAll(dir, 0o750); err != nil {
				t.Fatal(err)
			}
		}
		err := g.run(t, program)
		if err == nil {
			return g
		}
		if try == 3 {
			t.Fatal(err)
		}
	}
}

func findGateway(t *testing.T) string {
	t.Helper()
	program := os.Getenv("RECFLEET_TEST_VERSITYGW")
	if program == "" {
		var err error
		if program, err = filepath.Abs("../../bin/tools/versitygw"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(program); err != nil {
		why := fmt.Sprintf("no S3 server to test with (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 into "+
			"bin/tools, or set RECFLEET_TEST_VERSITYGW): %v", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return program
}

// run starts the program and waits until it answers; an error is one of starting.
func (g *gateway) run(t *testing.T, program string) error {
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, "--port", g.addr, "--health", "/healthz", "--keep-alive", "--quiet", "posix", "--versioning-dir", g.versions, g.root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+gatewayAccess, "ROOT_SECRET_KEY="+gatewaySecret)
	cmd.Stdout, cmd.Stderr = out, out
	dieWithTest(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	stop := func() {
		cmd.Process.Kill()
		<-exited
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.addr+"/healthz", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				t.Cleanup(stop)
				return nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-exited:
			err = errors.New("exited")
		case <-ctx.Done():
			err = ctx.Err()
		}
		stop()
		said, readErr := os.ReadFile(log)
		return fmt.Errorf("versitygw does not answer: %w, it said %q, %w", err, said, readErr)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// bucketName makes a valid bucket name of a test's.
func bucketName(t *testing.T) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	return "b-" + name[max(0, len(name)-50):] + "-z"
}

// client is a plain S3 client, for what the store does not do.
func (g *gateway) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + g.addr), UsePathStyle: true, Region: "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: gatewayAccess, SecretAccessKey: gatewaySecret}, nil
		}),
	})
}

// makeBucket makes the test's bucket.
func (g *gateway) makeBucket(t *testing.T) string {
	t.Helper()
	name := bucketName(t)
	if _, err := g.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

// open opens a store in a bucket by way of addr.
func openS3(t *testing.T, bucket, addr string, cfg Config) Store {
	t.Helper()
	loc, err := ParseLocation("s3://" + bucket + "@" + addr + "/some/prefix/?insecure=true")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), loc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
