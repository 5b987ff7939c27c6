package object

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"
)

func TestContractS3(t *testing.T) {
	g := startGateway(t)
	contract(t, backend{
		open: func(t *testing.T) Store { return openS3(t, g.makeBucket(t), g.addr, Config{PartBytes: leastPart}) },
		flip: func(t *testing.T, s Store, key string) {
			flipByte(t, filepath.Join(g.root, s.(*bucket).name, s.(*bucket).prefix, key))
		},
	})
}

// inFront is a reverse proxy to the gateway that spoils what spoil says; the signed Host passes unchanged.
func (g *gateway) inFront(t *testing.T, spoil func(next http.Handler) http.Handler) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: g.addr})
		r.Out.Host = r.In.Host
	}}
	srv := httptest.NewServer(spoil(proxy))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// The answer to a put is lost after the bucket took it: the repeated request is refused, and the put succeeds.
func TestS3AnswerLost(t *testing.T) {
	g := startGateway(t)
	var puts atomic.Int32
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && puts.Add(1) == 1 {
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{})
	info := mustPut(t, s, "a/v.mp4", noise(1, 300_000))
	// More than one repetition where the refusal's own answer is lost, the body being still under way.
	if n := puts.Load(); n < 2 {
		t.Errorf("%d puts, want a repetition", n)
	}
	if got, err := s.Stat(t.Context(), "a/v.mp4"); err != nil || got != info {
		t.Errorf("stat: got %+v, %v, want %+v", got, err, info)
	}
}

func TestS3TransientErrorsAreRepeated(t *testing.T) {
	g := startGateway(t)
	var requests atomic.Int32
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) <= 2 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{})
	mustPut(t, s, "a", noise(1, 300_000))
	if got, err := readAll(t, s, "a", 0, -1); err != nil || !bytes.Equal(got, noise(1, 300_000)) {
		t.Errorf("read: %v", err)
	}
}

// Another write of the key is under way: 409 says to look again.
func TestS3Conflict(t *testing.T) {
	g := startGateway(t)
	var puts atomic.Int32
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && puts.Add(1) == 1 {
				w.WriteHeader(http.StatusConflict)
				io.WriteString(w, `<Error><Code>ConditionalRequestConflict</Code></Error>`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{})
	mustPut(t, s, "a", []byte("content"))
	if n := puts.Load(); n != 2 {
		t.Errorf("%d puts, want 2", n)
	}
}

func TestS3Unavailable(t *testing.T) {
	g := startGateway(t)
	answer := func(status int) string {
		return g.inFront(t, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		})
	}
	silent := g.inFront(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
	})
	good := g.makeBucket(t)
	for name, c := range map[string]struct{ bucket, addr string }{
		"no bucket":      {"no-such-bucket", g.addr},
		"nobody listens": {good, freeAddr(t)},
		"forbidden":      {good, answer(http.StatusForbidden)},
		"broken":         {good, answer(http.StatusInternalServerError)},
		"slow down":      {good, answer(http.StatusServiceUnavailable)},
		"silent":         {good, silent},
	} {
		s := openS3(t, c.bucket, c.addr, Config{Attempts: 1, ResponseTimeout: 300 * time.Millisecond})
		_, err := s.Put(t.Context(), "a", strings.NewReader("x"), PutOptions{})
		wantErr(t, name+": put", err, ErrUnavailable)
		wantErr(t, name+": check", s.Check(t.Context()), ErrUnavailable)
		_, err = s.Stat(t.Context(), "a")
		wantErr(t, name+": stat", err, ErrUnavailable)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	_, err := openS3(t, good, g.addr, Config{}).Put(t.Context(), "a", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put with a wrong secret", err, ErrUnavailable)
	if err != nil && strings.Contains(err.Error(), gatewaySecret) {
		t.Errorf("the error holds a secret: %v", err)
	}
}

// A caller's deadline is the destination's fault as well, and says both.
func TestS3Deadline(t *testing.T) {
	g := startGateway(t)
	addr := g.inFront(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := s.Put(ctx, "a", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put", err, ErrUnavailable)
	wantErr(t, "put", err, context.DeadlineExceeded)
}

// A service that ignores If-None-Match would overwrite: Check refuses it.
func TestS3CheckRefusesOverwritingService(t *testing.T) {
	g := startGateway(t)
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusOK)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	err := openS3(t, g.makeBucket(t), addr, Config{}).Check(t.Context())
	wantErr(t, "check", err, ErrUnavailable)
	if err != nil && !strings.Contains(err.Error(), "If-None-Match") {
		t.Errorf("the error does not say why: %v", err)
	}
}

// Bytes that change on their way are refused by the service and leave no object.
func TestS3FlippedInFlight(t *testing.T) {
	g := startGateway(t)
	var saw atomic.Value
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				saw.Store(r.Header.Clone())
				body, err := io.ReadAll(r.Body)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				body[len(body)/2] ^= 1
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			next.ServeHTTP(w, r)
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{MaxPause: 50 * time.Millisecond})
	_, err := s.Put(t.Context(), "a", bytes.NewReader(noise(1, 1000)), PutOptions{})
	wantErr(t, "put", err, ErrDigest)
	_, err = s.Stat(t.Context(), "a")
	wantErr(t, "stat after it", err, ErrNotFound)
	header, _ := saw.Load().(http.Header)
	if header.Get("If-None-Match") != "*" || header.Get("X-Amz-Checksum-Sha256") == "" {
		t.Errorf("the put was not conditional, or had no checksum: %v", header)
	}
}

// A download that is cut short never looks complete.
func TestS3CutShort(t *testing.T) {
	g := startGateway(t)
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				next.ServeHTTP(w, r)
				return
			}
			full := httptest.NewRecorder()
			next.ServeHTTP(full, r)
			for name, values := range full.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(full.Code)
			w.Write(full.Body.Bytes()[:full.Body.Len()/2])
			panic(http.ErrAbortHandler)
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{})
	mustPut(t, s, "a", noise(1, 300_000))
	for _, length := range []int64{-1, 200_000} {
		_, err := readAll(t, s, "a", 0, length)
		wantErr(t, "read", err, ErrUnavailable)
	}
}

// A download that stands still ends in time, with the blame where it belongs.
func TestS3DownloadStandsStill(t *testing.T) {
	g := startGateway(t)
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", "1000")
			w.Write(noise(1, 500))
			w.(http.Flusher).Flush() //nolint:forcetypeassert // a test
			<-r.Context().Done()
		})
	})
	s := openS3(t, g.makeBucket(t), addr, Config{ResponseTimeout: 300 * time.Millisecond})
	got, err := readAll(t, s, "a", 0, -1)
	wantErr(t, "read", err, ErrUnavailable)
	if errors.Is(err, context.Canceled) || len(got) != 500 {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// What another program put there without a SHA-256 is compared by its bytes.
func TestS3ObjectWithoutChecksum(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	_, err := g.client().PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &name, Key: aws.String("some/prefix/a"), Body: strings.NewReader("content"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := openS3(t, name, g.addr, Config{})
	info := mustPut(t, s, "a", []byte("content"))
	if want := sha256.Sum256([]byte("content")); info.SHA256 != want {
		t.Errorf("sha256 %s", info.SHA256)
	}
	_, err = s.Put(t.Context(), "a", strings.NewReader("Content"), PutOptions{})
	wantErr(t, "put other content of the same size", err, ErrExists)
}

// Close leaves no connection behind.
func TestS3CloseLeavesNothing(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	before := goleak.IgnoreCurrent()
	t.Run("use", func(t *testing.T) {
		s := openS3(t, name, g.addr, Config{})
		mustPut(t, s, "a", noise(1, 3_000_000))
		r, _, err := s.Get(t.Context(), "a", 0, -1) // not read to its end
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := readAll(t, s, "a", 10, 20); err != nil { // its connection stays for the next request
			t.Error(err)
		}
	})
	goleak.VerifyNone(t, before)
}

func TestS3NeedsRegionWithoutEndpoint(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	loc, err := ParseLocation("s3://bucket/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), loc, Config{}); !errors.Is(err, ErrLocation) {
		t.Errorf("open: got %v, want ErrLocation", err)
	}
}
