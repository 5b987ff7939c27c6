package object

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// stage is a request of a put.
type stage string

const (
	stagePut      stage = "put"
	stageCreate   stage = "create"
	stagePart     stage = "part"
	stageComplete stage = "complete"
	stageAbort    stage = "abort"
	stageOther    stage = "other"
)

func stageOf(r *http.Request) stage {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && query.Has("partNumber"):
		return stagePart
	case r.Method == http.MethodPut:
		return stagePut
	case r.Method == http.MethodPost && query.Has("uploads"):
		return stageCreate
	case r.Method == http.MethodPost && query.Has("uploadId"):
		return stageComplete
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		return stageAbort
	}
	return stageOther
}

// fault is what goes wrong with one request.
type fault func(next http.Handler, w http.ResponseWriter, r *http.Request)

func answers(status int, code string) fault {
	return func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants it</Message></Error>", code)
	}
}

// cutMidBody reads half of what is sent and hangs up.
func cutMidBody(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	panic(http.ErrAbortHandler)
}

// half of the body reaches the service as all of it would, then the connection is gone on both sides.
func halfArrives(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), brokenReader{}))
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answerLost lets the service do it and loses what it says.
func answerLost(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// silence takes the request and never answers.
func silence(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// deafness stops taking the request in.
func deafness(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	io.CopyN(io.Discard, r.Body, 1)
	time.Sleep(1500 * time.Millisecond) // nobody tells a handler that its client has gone while it does not read
	panic(http.ErrAbortHandler)
}

// flippedByte changes a bit on the way.
func flippedByte(next http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
	next.ServeHTTP(w, r)
}

// spoiled is a proxy in front of the gateway that does a fault to the first requests of a stage, and counts all of it.
type spoiled struct {
	addr  string
	seen  atomic.Int32
	total atomic.Int32
}

func (g *gateway) spoiled(t *testing.T, at stage, times int32, do fault) *spoiled {
	t.Helper()
	p := &spoiled{}
	p.addr = g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.total.Add(1)
			if stageOf(r) == at && p.seen.Add(1) <= times {
				do(next, w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	return p
}

const forEver = 1 << 30

// small goes up in one piece, large in three parts.
func small() []byte { return noise(4, 300_000) }
func large() []byte { return noise(5, 2*leastPart+leastPart/2) }

// versions counts what a bucket has under a key: versions and delete markers.
func (g *gateway) countVersions(t *testing.T, bucket, key string) int {
	t.Helper()
	out, err := g.client().ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: aws.String("some/prefix/" + key)})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Versions) + len(out.DeleteMarkers)
}

func (g *gateway) versioned(t *testing.T) string {
	t.Helper()
	name := g.makeBucket(t)
	_, err := g.client().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// What goes wrong once is survived by the same Put: one version of the object, the right bytes, nothing left behind.
func TestS3FaultsThatPass(t *testing.T) {
	g := startGateway(t)
	faults := map[string]fault{
		"slow down": answers(http.StatusServiceUnavailable, "SlowDown"), "internal": answers(http.StatusInternalServerError, "InternalError"),
		"cut": cutMidBody, "half arrives": halfArrives, "answer lost": answerLost, "silence": silence, "deafness": deafness, "flipped": flippedByte,
	}
	for at, c := range map[stage]struct {
		content []byte
		faults  []string
	}{
		stagePut:      {small(), []string{"slow down", "internal", "cut", "half arrives", "answer lost", "silence", "flipped"}},
		stageCreate:   {large(), []string{"slow down", "answer lost"}},
		stagePart:     {large(), []string{"slow down", "cut", "half arrives", "answer lost", "silence", "deafness", "flipped"}},
		stageComplete: {large(), []string{"slow down", "answer lost", "silence", "error within success"}},
	} {
		for _, name := range c.faults {
			do := faults[name]
			if do == nil {
				do = answers(http.StatusOK, "InternalError")
			}
			t.Run(string(at)+"/"+name, func(t *testing.T) {
				name := g.versioned(t)
				p := g.spoiled(t, at, 1, do)
				s := openS3(t, name, p.addr, Config{PartBytes: leastPart, ResponseTimeout: time.Second, MaxPause: 50 * time.Millisecond})
				info := mustPut(t, s, "a/v.mp4", c.content)
				if p.seen.Load() < 2 {
					t.Errorf("%d requests, want a repetition", p.seen.Load())
				}
				if got, err := readAll(t, s, "a/v.mp4", 0, -1); err != nil || !bytes.Equal(got, c.content) {
					t.Errorf("read: got %d bytes, %v", len(got), err)
				}
				if n := g.countVersions(t, name, "a/v.mp4"); n != 1 || info.Version == "" {
					t.Errorf("%d versions, version %q put", n, info.Version)
				}
				left, err := Sweep(t.Context(), s, -time.Hour)
				if at == stageCreate && do != nil && left <= 1 {
					left = 0 // whoever got no answer does not know what it has begun
				}
				if left != 0 || err != nil {
					t.Errorf("%d left behind, %v", left, err)
				}
			})
		}
	}
}

// What stays wrong ends the Put with the destination's blame and without a storm of requests; nothing of the object is to be
// seen, and what was there before is untouched. When the fault has passed the same Put succeeds.
func TestS3FaultsThatStay(t *testing.T) {
	g := startGateway(t)
	denied, gone := answers(http.StatusForbidden, "AccessDenied"), answers(http.StatusNotFound, "NoSuchBucket")
	for name, c := range map[string]struct {
		at      stage
		content []byte
		do      fault
		most    int32 // requests of the stage
	}{
		"put/denied":         {stagePut, small(), denied, 1},
		"put/bucket gone":    {stagePut, small(), gone, 1},
		"put/key disabled":   {stagePut, small(), answers(http.StatusBadRequest, "KMS.DisabledException"), 1},
		"put/slow down":      {stagePut, small(), answers(http.StatusServiceUnavailable, "SlowDown"), 2},
		"put/cut":            {stagePut, small(), cutMidBody, 2},
		"put/silence":        {stagePut, small(), silence, 2},
		"create/denied":      {stageCreate, large(), denied, 1},
		"part/denied":        {stagePart, large(), denied, 1},
		"part/bucket gone":   {stagePart, large(), gone, 1},
		"part/half arrives":  {stagePart, large(), halfArrives, 2},
		"part/deafness":      {stagePart, large(), deafness, 2},
		"complete/denied":    {stageComplete, large(), denied, 1},
		"complete/slow down": {stageComplete, large(), answers(http.StatusServiceUnavailable, "SlowDown"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			name := g.makeBucket(t)
			p := g.spoiled(t, c.at, forEver, c.do)
			cfg := Config{PartBytes: leastPart, Attempts: 2, ResponseTimeout: 300 * time.Millisecond, MaxPause: 50 * time.Millisecond}
			direct := openS3(t, name, g.addr, cfg)
			mustPut(t, direct, "a/before.mp4", []byte("before"))
			_, err := openS3(t, name, p.addr, cfg).Put(t.Context(), "a/v.mp4", bytes.NewReader(c.content), PutOptions{})
			wantErr(t, "put", err, ErrUnavailable)
			if errors.Is(err, ErrDigest) || errors.Is(err, ErrExists) {
				t.Errorf("the content was blamed: %v", err)
			}
			if n := p.seen.Load(); n < 1 || n > c.most {
				t.Errorf("%d requests, at most %d", n, c.most)
			}
			if n := p.total.Load(); n > c.most+5 { // create, three parts, abort
				t.Errorf("%d requests in all", n)
			}
			if keys := keysOf(t, direct); !slices.Equal(keys, []string{"a/before.mp4"}) {
				t.Errorf("to be seen: %v", keys)
			}
			if got, err := readAll(t, direct, "a/before.mp4", 0, -1); err != nil || string(got) != "before" {
				t.Errorf("what was there is %q, %v", got, err)
			}
			nothingToSweep(t, direct)
			mustPut(t, direct, "a/v.mp4", c.content)
		})
	}
}

func keysOf(t *testing.T, s Store) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// The answer to a completion is lost and nothing comes through after it: the next Put, of whomever, finds its own content.
func TestS3CompletionLostForGood(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	p := g.spoiled(t, stageComplete, forEver, answerLost)
	cfg := Config{PartBytes: leastPart, Attempts: 2}
	if _, err := openS3(t, name, p.addr, cfg).Put(t.Context(), "a", bytes.NewReader(large()), PutOptions{}); err != nil {
		wantErr(t, "put", err, ErrUnavailable)
	}
	s := openS3(t, name, g.addr, cfg)
	mustPut(t, s, "a", large())
	nothingToSweep(t, s)
}

// A writer that may put and nothing else, and whose answer was lost, learns that something is there, not more: never that it failed for good, and
// never that somebody else's content is its own.
func TestS3PutOnly(t *testing.T) {
	g := startGateway(t)
	for at, content := range map[stage][]byte{stagePut: small(), stageComplete: large()} {
		name := ""
		t.Run(string(at), func(t *testing.T) { name = g.versioned(t) })
		var lost atomic.Int32
		addr := g.inFront(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet || r.Method == http.MethodHead:
					answers(http.StatusForbidden, "AccessDenied")(next, w, r)
				case stageOf(r) == at && lost.Add(1) == 1:
					answerLost(next, w, r)
				default:
					next.ServeHTTP(w, r)
				}
			})
		})
		s := openS3(t, name, addr, Config{PartBytes: leastPart, MaxPause: 50 * time.Millisecond})
		_, err := s.Put(t.Context(), "a/v.mp4", bytes.NewReader(content), PutOptions{})
		if at == stagePut || err != nil { // a service may say of an upload that was completed that it is
			wantErr(t, string(at), err, ErrUnread)
			wantErr(t, string(at), err, ErrUnavailable)
		}
		all := openS3(t, name, g.addr, Config{PartBytes: leastPart})
		if got, err := readAll(t, all, "a/v.mp4", 0, -1); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes are there, %v", at, len(got), err)
		}
		if n := g.countVersions(t, name, "a/v.mp4"); n != 1 {
			t.Errorf("%s: %d versions", at, n)
		}
		nothingToSweep(t, all)
		if _, err := s.Put(t.Context(), "b", bytes.NewReader(content), PutOptions{}); err != nil {
			t.Errorf("%s: another key: %v", at, err)
		}
	}
	// Where another write is under way, nothing is known to be there.
	name := g.makeBucket(t)
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if stageOf(r) == stagePut {
				answers(http.StatusConflict, "ConditionalRequestConflict")(next, w, r)
				return
			}
			answers(http.StatusForbidden, "AccessDenied")(next, w, r)
		})
	})
	_, err := openS3(t, name, addr, Config{Attempts: 1, MaxPause: 50 * time.Millisecond}).Put(t.Context(), "a", bytes.NewReader(small()), PutOptions{})
	wantErr(t, "another write under way", err, ErrUnavailable)
	if errors.Is(err, ErrUnread) {
		t.Error("something is said to be there")
	}
}

// Where the checksums cannot be compared, since another one was cut otherwise or keeps none, the bytes are.
func TestS3OtherPartsOfTheSameContent(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	mustPut(t, openS3(t, name, g.addr, Config{PartBytes: leastPart}), "a", large())
	s := openS3(t, name, g.addr, Config{PartBytes: leastPart + 1<<20})
	if info := mustPut(t, s, "a", large()); info.SHA256 != sha256.Sum256(large()) {
		t.Errorf("sha256 %s", info.SHA256)
	}
	changed := large()
	changed[7] ^= 1
	_, err := s.Put(t.Context(), "a", bytes.NewReader(changed), PutOptions{})
	wantErr(t, "put other content", err, ErrExists)
	// Metadata that lies about the content does not make it the same.
	_, err = g.client().PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &name, Key: aws.String("some/prefix/b"), Body: strings.NewReader("Content"),
		Metadata: map[string]string{"sha256": Digest(sha256.Sum256([]byte("content"))).String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), "b", strings.NewReader("content"), PutOptions{})
	wantErr(t, "put what the metadata says is there", err, ErrExists)
	_, err = readAll(t, s, "b", 0, -1)
	wantErr(t, "read what is not as the metadata says", err, ErrDigest)
}

// Two writers send parts of other content under one key: one wins, and its bytes are what is there.
func TestS3WritersOfParts(t *testing.T) {
	g := startGateway(t)
	s := openS3(t, g.makeBucket(t), g.addr, Config{PartBytes: leastPart})
	contents := [][]byte{noise(21, leastPart+10), noise(22, leastPart+10), noise(22, leastPart+10)}
	var errs [3]error
	var writers sync.WaitGroup
	for i, content := range contents {
		writers.Go(func() { _, errs[i] = s.Put(t.Context(), "a", bytes.NewReader(content), PutOptions{}) })
	}
	writers.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || (errs[1] == nil) != (errs[2] == nil) {
		t.Fatalf("%v", errs)
	}
	winner := contents[0]
	for i, err := range errs {
		if err == nil {
			winner = contents[i]
			continue
		}
		wantErr(t, fmt.Sprintf("writer %d", i), err, ErrExists)
	}
	if got, err := readAll(t, s, "a", 0, -1); err != nil || !bytes.Equal(got, winner) {
		t.Errorf("the content is not the winner's: %v", err)
	}
	nothingToSweep(t, s)
}

// Only what is old enough and lies below the root is swept, and never an object.
func TestS3Sweep(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	s := openS3(t, name, g.addr, Config{PartBytes: leastPart})
	mustPut(t, s, "a", large())
	for _, key := range []string{"some/prefix/x/v.mp4", "some/prefix/y/v.mp4", "elsewhere/v.mp4"} {
		if _, err := g.client().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &name, Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Sweep(t.Context(), s, time.Hour); n != 0 || err != nil {
		t.Errorf("%d young ones swept, %v", n, err)
	}
	if n, err := Sweep(t.Context(), s, -time.Minute); n != 2 || err != nil {
		t.Errorf("%d swept, %v, want 2", n, err)
	}
	out, err := g.client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &name})
	if err != nil || len(out.Uploads) != 1 || aws.ToString(out.Uploads[0].Key) != "elsewhere/v.mp4" {
		t.Errorf("left: %+v, %v", out, err)
	}
	if got, err := readAll(t, s, "a", 0, -1); err != nil || !bytes.Equal(got, large()) {
		t.Errorf("read: got %d bytes, %v", len(got), err)
	}
	p := g.spoiled(t, stageOther, forEver, answers(http.StatusForbidden, "AccessDenied"))
	_, err = Sweep(t.Context(), openS3(t, name, p.addr, Config{}), time.Hour)
	wantErr(t, "sweep without the right", err, ErrUnavailable)
}
