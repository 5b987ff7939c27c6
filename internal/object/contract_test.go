package object

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// backend is one real destination under the contract.
type backend struct {
	// open opens a store on a root that nothing was put into yet.
	open func(t *testing.T) Store
	// flip changes one byte of an object behind the store's back.
	flip func(t *testing.T, s Store, key string)
}

func TestContractDirectory(t *testing.T) { contract(t, directoryBackend()) }

// contract is what every Store does alike.
func contract(t *testing.T, b backend) {
	t.Run("PutGetStat", func(t *testing.T) { testPutGetStat(t, b.open(t)) })
	t.Run("NeverOverwrites", func(t *testing.T) { testNeverOverwrites(t, b.open(t)) })
	t.Run("Ranges", func(t *testing.T) { testRanges(t, b.open(t)) })
	t.Run("Digest", func(t *testing.T) { testDigest(t, b.open(t)) })
	t.Run("Missing", func(t *testing.T) { testMissing(t, b.open(t)) })
	t.Run("List", func(t *testing.T) { testList(t, b.open(t)) })
	t.Run("Race", func(t *testing.T) { testRace(t, b.open(t)) })
	t.Run("Large", func(t *testing.T) { testLarge(t, b.open(t)) })
	t.Run("LargeFlipped", func(t *testing.T) { testLargeFlipped(t, b) })
	t.Run("OddKeys", func(t *testing.T) { testOddKeys(t, b.open(t)) })
	t.Run("BodyFails", func(t *testing.T) { testBodyFails(t, b.open(t)) })
	t.Run("Canceled", func(t *testing.T) { testCanceled(t, b.open(t)) })
	t.Run("Check", func(t *testing.T) { testCheck(t, b.open(t)) })
	t.Run("Delete", func(t *testing.T) { testDelete(t, b.open(t)) })
	t.Run("FlippedByte", func(t *testing.T) { testFlippedByte(t, b) })
}

// noise is n bytes that are the same for one seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

func mustPut(t *testing.T, s Store, key string, content []byte) Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(content), PutOptions{ContentType: "video/mp4"})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return info
}

func readAll(t *testing.T, s Store, key string, offset, length int64) ([]byte, error) {
	t.Helper()
	r, _, err := s.Get(t.Context(), key, offset, length)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Errorf("close %s: %v", key, err)
		}
	}()
	return io.ReadAll(r)
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: error is more than one line: %q", what, err)
	}
}

func testPutGetStat(t *testing.T, s Store) {
	for _, n := range []int{0, 1, 5<<20 + 3} {
		key := fmt.Sprintf("2026-01-02/ann/s%d/video-000001.mp4", n)
		content := noise(uint64(n), n)
		digest := Digest(sha256.Sum256(content))

		body := bytes.NewReader(content)
		io.CopyN(io.Discard, body, 1)
		info, err := s.Put(t.Context(), key, body, PutOptions{ContentType: "video/mp4", SHA256: digest})
		if err != nil {
			t.Fatalf("put %d bytes: %v", n, err)
		}
		want := Info{Key: key, Bytes: int64(n), SHA256: digest, Version: info.Version}
		if info != want {
			t.Errorf("put: got %+v, want %+v", info, want)
		}
		if got, err := s.Stat(t.Context(), key); err != nil || got != want {
			t.Errorf("stat: got %+v, %v, want %+v", got, err, want)
		}
		r, got, err := s.Get(t.Context(), key, 0, -1)
		if err != nil || got != want {
			t.Fatalf("get: got %+v, %v, want %+v", got, err, want)
		}
		back, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(back, content) {
			t.Errorf("read %d bytes: got %d, %v", n, len(back), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testNeverOverwrites(t *testing.T, s Store) {
	const key = "session/metadata.json"
	first := mustPut(t, s, key, []byte("first"))
	if again := mustPut(t, s, key, []byte("first")); again != first {
		t.Errorf("same content again: got %+v, want %+v", again, first)
	}
	for _, other := range []string{"other", "a longer one", ""} {
		_, err := s.Put(t.Context(), key, strings.NewReader(other), PutOptions{})
		wantErr(t, "put other content", err, ErrExists)
	}
	if got, err := readAll(t, s, key, 0, -1); err != nil || string(got) != "first" {
		t.Errorf("content is now %q, %v", got, err)
	}
}

// seeker is a body that can do nothing but what Put asks for.
type seeker struct{ io.ReadSeeker }

// testLarge is of what a bucket gets in parts.
func testLarge(t *testing.T, s Store) {
	const key = "a/large.mp4"
	content := noise(9, 2*leastPart+leastPart/2)
	for _, body := range []io.ReadSeeker{bytes.NewReader(content), seeker{bytes.NewReader(content)}} {
		info, err := s.Put(t.Context(), key, body, PutOptions{SHA256: sha256.Sum256(content)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Stat(t.Context(), key); err != nil || got != info {
			t.Errorf("stat: got %+v, %v, want %+v", got, err, info)
		}
	}
	if got, err := readAll(t, s, key, 0, -1); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read: got %d bytes, %v", len(got), err)
	}
	for _, c := range []struct{ offset, length int64 }{{leastPart - 3, 6}, {2*leastPart - 1, -1}, {1, 2 * leastPart}} {
		end := int64(len(content))
		if c.length >= 0 {
			end = c.offset + c.length
		}
		if got, err := readAll(t, s, key, c.offset, c.length); err != nil || !bytes.Equal(got, content[c.offset:end]) {
			t.Errorf("range %d+%d: got %d bytes, %v", c.offset, c.length, len(got), err)
		}
	}
	for _, other := range [][]byte{noise(8, len(content)), content[:len(content)-1], content[:10]} {
		_, err := s.Put(t.Context(), key, bytes.NewReader(other), PutOptions{})
		wantErr(t, "put other content", err, ErrExists)
	}
	if got, err := readAll(t, s, key, 0, -1); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read again: got %d bytes, %v", len(got), err)
	}
	// A small object is there already.
	mustPut(t, s, "a/small.mp4", content[:10])
	_, err := s.Put(t.Context(), "a/small.mp4", bytes.NewReader(content), PutOptions{})
	wantErr(t, "put a large one over a small one", err, ErrExists)
	nothingToSweep(t, s)
}

// nothingToSweep fails where a put has left something behind.
func nothingToSweep(t *testing.T, s Store) {
	t.Helper()
	if n, err := Sweep(t.Context(), s, -time.Hour); n != 0 || err != nil {
		t.Errorf("%d left behind, %v", n, err)
	}
}

func testLargeFlipped(t *testing.T, b backend) {
	s := b.open(t)
	mustPut(t, s, "a/v.mp4", noise(3, 2*leastPart+1))
	b.flip(t, s, "a/v.mp4")
	_, err := readAll(t, s, "a/v.mp4", 0, -1)
	wantErr(t, "read after a byte was flipped", err, ErrDigest)
}

func testRanges(t *testing.T, s Store) {
	content := noise(7, 100_000)
	mustPut(t, s, "v.mp4", content)
	mustPut(t, s, "empty", nil)
	for _, c := range []struct{ offset, length, from, to int64 }{
		{0, 10, 0, 10}, {10, 0, 10, 10}, {5, 1, 5, 6}, {99_999, 1, 99_999, 100_000}, {99_990, 500, 99_990, 100_000},
		{50_000, -1, 50_000, 100_000}, {100_000, -1, 0, 0}, {100_000, 5, 0, 0}, {0, 1 << 40, 0, 100_000},
	} {
		got, err := readAll(t, s, "v.mp4", c.offset, c.length)
		if err != nil || !bytes.Equal(got, content[c.from:c.to]) {
			t.Errorf("range %d+%d: got %d bytes, %v", c.offset, c.length, len(got), err)
		}
		r, info, err := s.Get(t.Context(), "v.mp4", c.offset, c.length)
		if err != nil {
			t.Fatal(err)
		}
		if info.Bytes != 100_000 {
			t.Errorf("range %d+%d: size %d, want the whole object's", c.offset, c.length, info.Bytes)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ offset, length int64 }{{100_001, -1}, {100_001, 1}, {100_001, 0}, {-1, 1}} {
		_, err := readAll(t, s, "v.mp4", c.offset, c.length)
		wantErr(t, fmt.Sprintf("range %d+%d", c.offset, c.length), err, ErrRange)
	}
	if got, err := readAll(t, s, "empty", 0, 5); err != nil || len(got) != 0 {
		t.Errorf("range of an empty object: %q, %v", got, err)
	}
}

func testDigest(t *testing.T, s Store) {
	wrong := sha256.Sum256([]byte("something else"))
	_, err := s.Put(t.Context(), "x.mp4", strings.NewReader("content"), PutOptions{SHA256: wrong})
	wantErr(t, "put with a wrong digest", err, ErrDigest)
	_, err = s.Stat(t.Context(), "x.mp4")
	wantErr(t, "stat after it", err, ErrNotFound)
}

func testMissing(t *testing.T, s Store) {
	mustPut(t, s, "a/b", []byte("b"))
	for _, key := range []string{"none", "a", "a/none", "a/b/c"} {
		_, err := s.Stat(t.Context(), key)
		wantErr(t, "stat "+key, err, ErrNotFound)
		_, err = readAll(t, s, key, 0, -1)
		wantErr(t, "get "+key, err, ErrNotFound)
		_, err = readAll(t, s, key, 3, 2)
		wantErr(t, "get a range of "+key, err, ErrNotFound)
	}
}

func testList(t *testing.T, s Store) {
	keys := []string{"a-b/1", "a/1", "a/2", "a/b/3", "a0", "b/year=2026/x.csv"}
	for i, key := range keys {
		mustPut(t, s, key, noise(1, i))
	}
	if err := s.Check(t.Context()); err != nil { // its traces must not be listed
		t.Fatal(err)
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"", keys}, {"a/", keys[1:4]}, {"a", keys[:5]}, {"a/b", keys[3:4]}, {"a/b/3", keys[3:4]}, {"c/", nil}, {"a/1/", nil},
		{"b/year=20", keys[5:]},
	} {
		var got []string
		for info, err := range s.List(t.Context(), c.prefix) {
			if err != nil {
				t.Fatalf("list %q: %v", c.prefix, err)
			}
			if want := int64(slices.Index(keys, info.Key)); info.Bytes != want {
				t.Errorf("list %q: %s has %d bytes, want %d", c.prefix, info.Key, info.Bytes, want)
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("list %q: got %q, want %q", c.prefix, got, c.want)
		}
	}
	for range s.List(t.Context(), "") {
		break
	}
	for _, err := range s.List(t.Context(), "../") {
		wantErr(t, "list ../", err, ErrKey)
	}
}

func testRace(t *testing.T, s Store) {
	const writers = 8
	put := func(key string, content func(i int) []byte) (errs [writers]error) {
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range writers {
			wg.Go(func() {
				<-start
				_, errs[i] = s.Put(t.Context(), key, bytes.NewReader(content(i)), PutOptions{})
			})
		}
		close(start)
		wg.Wait()
		return errs
	}
	for round := range 4 {
		key := fmt.Sprintf("same/%d", round)
		for i, err := range put(key, func(int) []byte { return noise(1, 50_000) }) {
			if err != nil {
				t.Errorf("writer %d of the same content: %v", i, err)
			}
		}
		key = fmt.Sprintf("other/%d", round)
		winner := -1
		for i, err := range put(key, func(i int) []byte { return noise(uint64(i), 50_000) }) {
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				t.Errorf("writers %d and %d of other content both succeeded", winner, i)
			default:
				wantErr(t, fmt.Sprintf("writer %d", i), err, ErrExists)
			}
		}
		if winner < 0 {
			t.Fatal("no writer won")
		}
		if got, err := readAll(t, s, key, 0, -1); err != nil || !bytes.Equal(got, noise(uint64(winner), 50_000)) {
			t.Errorf("the content is not the winner's: %v", err)
		}
	}
}

// oddKeys are no keys.
var oddKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", ".hidden", "a/.b", ".recfleet/tmp/x", "a\nb", "a\x00b",
	"a b", "ä", "a\\b", "a:b", "a*", "{a}", "a%2fb", strings.Repeat("a", 201), strings.Repeat("a/", 400) + "a",
}

func testOddKeys(t *testing.T, s Store) {
	for _, key := range oddKeys {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"), PutOptions{})
		wantErr(t, fmt.Sprintf("put %q", key), err, ErrKey)
		_, _, err = s.Get(t.Context(), key, 0, -1)
		wantErr(t, fmt.Sprintf("get %q", key), err, ErrKey)
		_, err = s.Stat(t.Context(), key)
		wantErr(t, fmt.Sprintf("stat %q", key), err, ErrKey)
	}
	longest := strings.Repeat(strings.Repeat("k", 199)+"/", 4)[:MaxKeyBytes-1]
	mustPut(t, s, longest, []byte("x"))
	mustPut(t, s, strings.Repeat("n", 200), []byte("x"))
}

// brokenBody fails after its first bytes.
type brokenBody struct{ *strings.Reader }

var errBody = errors.New("body broke")

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errBody
	}
	return n, err
}

func testBodyFails(t *testing.T, s Store) {
	_, err := s.Put(t.Context(), "x", brokenBody{strings.NewReader("half")}, PutOptions{})
	wantErr(t, "put", err, errBody)
	if errors.Is(err, ErrUnavailable) {
		t.Errorf("the archive was blamed for the body: %v", err)
	}
	_, err = s.Stat(t.Context(), "x")
	wantErr(t, "stat", err, ErrNotFound)
}

func testCanceled(t *testing.T, s Store) {
	mustPut(t, s, "there", noise(1, 1000))
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := s.Get(ctx, "there", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	_, err = io.ReadAll(r)
	wantErr(t, "read", err, context.Canceled)
	_, err = s.Put(ctx, "x", strings.NewReader("x"), PutOptions{})
	wantErr(t, "put", err, context.Canceled)
	if errors.Is(err, ErrUnavailable) {
		t.Errorf("the archive was blamed for the caller's cancel: %v", err)
	}
	_, err = s.Stat(t.Context(), "x")
	wantErr(t, "stat", err, ErrNotFound)
}

func testCheck(t *testing.T, s Store) {
	for range 2 {
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
	}
}

func testFlippedByte(t *testing.T, b backend) {
	s := b.open(t)
	mustPut(t, s, "a/v.mp4", noise(3, 70_000))
	b.flip(t, s, "a/v.mp4")
	_, err := readAll(t, s, "a/v.mp4", 0, -1)
	wantErr(t, "read after a byte was flipped", err, ErrDigest)
}
