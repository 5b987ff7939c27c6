package retention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 9, 3, 12, 0, 0, 0, time.UTC)

// streams remembers which were deleted.
type streams map[string]int

func (s streams) DeleteSession(_ context.Context, id string) error {
	s[id]++
	return nil
}

// brittle is an archive that fails after some deletions; a negative count never does.
type brittle struct {
	object.Store
	left int
}

func (b *brittle) Delete(ctx context.Context, key string) error {
	if b.left == 0 {
		return object.ErrUnavailable
	}
	b.left--
	return b.Store.Delete(ctx, key)
}

type fixture struct {
	t       *testing.T
	catalog *catalog.Catalog
	archive *brittle
	bus     streams
	now     time.Time
}

func newFixture(t *testing.T, location string) *fixture {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	at, err := object.ParseLocation(location)
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), at, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return &fixture{t, c, &brittle{store, -1}, streams{}, start}
}

// fresh is the duty as a coordinator has it that has just begun.
func (f *fixture) fresh() *Retention {
	r := New(f.catalog, f.archive, f.bus, hclog.NewNullLogger())
	r.now = func() time.Time { return f.now }
	return r
}

func (f *fixture) step(r *Retention) {
	f.t.Helper()
	if err := r.Step(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// finished makes a session that is over and kept for a while, with five objects.
func (f *fixture) finished(id string, keep time.Duration) {
	f.t.Helper()
	ctx := f.t.Context()
	_, _, err := f.catalog.CreateSession(ctx, catalog.Session{
		ID: id, RequestID: "r" + id, User: "ann", Metadata: map[string]string{"secret": "x"}, ArchivePrefix: "day/" + id + "/", FrameRate: 5,
		Start: start.Add(-time.Hour), Created: start, Policy: catalog.Policy{Rule: "short", Retention: keep},
	})
	err = errors.Join(err, f.catalog.EndSession(ctx, id, catalog.End{Time: start}), f.catalog.FinishSession(ctx, id, catalog.SessionEmpty, ""))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, name := range []string{"metadata.json", "manifest.json", "manifest.json.sig", "video-000001.mp4", "video-000001.g2.mp4"} {
		f.put("day/" + id + "/" + name)
	}
}

func (f *fixture) put(key string) {
	f.t.Helper()
	if _, err := f.archive.Put(f.t.Context(), key, bytes.NewReader([]byte(key)), object.PutOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) keys(prefix string) (keys []string) {
	f.t.Helper()
	for info, err := range f.archive.List(f.t.Context(), prefix) {
		if err != nil {
			f.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func (f *fixture) session(id string) catalog.Session {
	f.t.Helper()
	s, err := f.catalog.Session(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// each runs a test on a directory and on a bucket.
func each(t *testing.T, test func(f *fixture)) {
	t.Run("directory", func(t *testing.T) { test(newFixture(t, "file://"+t.TempDir())) })
	t.Run("bucket", func(t *testing.T) { test(newFixture(t, gateway(t))) })
}

func TestWhatHasExpiredIsDeleted(t *testing.T) {
	each(t, func(f *fixture) {
		f.finished("a", time.Hour)
		f.finished("ab", 10*time.Hour)
		f.finished("ever", 0)
		r := f.fresh()
		f.step(r)
		if got := f.keys("day/"); len(got) != 15 {
			f.t.Fatalf("deleted too early: %v", got)
		}
		f.now = start.Add(2 * time.Hour)
		f.step(r)
		if got := f.keys("day/a/"); len(got) != 0 {
			f.t.Errorf("left: %v", got)
		}
		if got := f.keys("day/"); len(got) != 10 {
			f.t.Errorf("those of others: %v", got)
		}
		s := f.session("a")
		if !s.Deletion.Done.Equal(f.now) || s.Deletion.By != "retention" || s.User != "ann" || len(s.Metadata) > 0 || f.bus["a"] != 1 || len(f.bus) != 1 {
			f.t.Errorf("tombstone %+v, streams %v", s, f.bus)
		}
		told, _, err := f.catalog.ListAudit(f.t.Context(), catalog.AuditFilter{}, 10, "")
		if err != nil || len(told) != 1 || told[0].Who != "retention" || told[0].Object != "a" || !strings.Contains(told[0].Reason, "rule short") {
			f.t.Errorf("audit %+v, %v", told, err)
		}
		// What somebody who was frozen writes after that goes as well.
		f.put("day/a/video-000001.g3.mp4")
		f.now = f.now.Add(time.Hour)
		f.step(r)
		if got := f.keys("day/a/"); len(got) != 0 {
			f.t.Errorf("late objects are left: %v", got)
		}
	})
}

func TestAHoldWins(t *testing.T) {
	f := newFixture(t, "file://"+t.TempDir())
	f.finished("a", time.Hour)
	if err := f.catalog.HoldSession(t.Context(), "a", catalog.Hold{Time: start, By: "bob"}); err != nil {
		t.Fatal(err)
	}
	f.now = start.Add(2 * time.Hour)
	r := f.fresh()
	f.step(r)
	// It is held between being found and being ordered.
	s := f.session("a")
	if err := r.order(t.Context(), s, f.now); !errors.Is(err, catalog.ErrHeld) {
		t.Errorf("%v", err)
	}
	if got := f.keys("day/a/"); len(got) != 5 || !f.session("a").Deletion.Ordered.IsZero() {
		t.Errorf("a held session was touched: %v", got)
	}
	if err := f.catalog.ReleaseSession(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	f.step(r)
	if got := f.keys("day/a/"); len(got) != 0 {
		t.Errorf("left after the release: %v", got)
	}
}

// It is killed, or the archive goes away, after any number of deletions; another coordinator goes on.
func TestADeletionIsResumed(t *testing.T) {
	each(t, func(f *fixture) {
		f.finished("a", time.Hour)
		f.now = start.Add(2 * time.Hour)
		for n := range 5 {
			f.archive.left = 1
			if n < 4 {
				if err := f.fresh().Step(f.t.Context()); !errors.Is(err, object.ErrUnavailable) {
					f.t.Fatalf("%d: %v", n, err)
				}
				if s := f.session("a"); s.Deletion.Ordered.IsZero() || !s.Deletion.Done.IsZero() || len(f.keys("day/a/")) != 4-n {
					f.t.Fatalf("%d: %+v, %v", n, s.Deletion, f.keys("day/a/"))
				}
				continue
			}
			f.step(f.fresh())
		}
		if s := f.session("a"); s.Deletion.Done.IsZero() || len(f.keys("day/a/")) != 0 {
			f.t.Errorf("%+v, %v", s.Deletion, f.keys("day/a/"))
		}
	})
}

// Whatever stops a deletion, there is no end marker without all that it vouches for.
func TestTheEndMarkerIsDeletedFirst(t *testing.T) {
	each(t, func(f *fixture) {
		f.finished("a", time.Hour)
		f.put("day/a/complete.json")
		f.put("day/a/aaa.json") // comes before it in every listing
		f.now = start.Add(2 * time.Hour)
		f.archive.left = 1
		if err := f.fresh().Step(f.t.Context()); !errors.Is(err, object.ErrUnavailable) {
			f.t.Fatal(err)
		}
		if got := f.keys("day/a/"); len(got) != 6 || slices.Contains(got, "day/a/complete.json") {
			f.t.Errorf("left: %v", got)
		}
		f.archive.left = -1
		f.step(f.fresh())
		if got := f.keys("day/a/"); len(got) != 0 {
			f.t.Errorf("left: %v", got)
		}
	})
}

// unwritable is a catalog whose audit cannot be written.
type unwritable struct{ *catalog.Catalog }

func (unwritable) AppendAudit(context.Context, catalog.AuditRecord) (catalog.AuditRecord, error) {
	return catalog.AuditRecord{}, errors.New("disk is full")
}

func TestNothingExpiresUnaudited(t *testing.T) {
	f := newFixture(t, "file://"+t.TempDir())
	f.finished("a", time.Hour)
	f.now = start.Add(2 * time.Hour)
	r := f.fresh()
	r.catalog = unwritable{f.catalog}
	if err := r.Step(t.Context()); err == nil || len(f.keys("day/a/")) != 5 || !f.session("a").Deletion.Ordered.IsZero() {
		t.Errorf("deleted without a word: %v", err)
	}
}

func TestNoFolderIsNoFolder(t *testing.T) {
	f := newFixture(t, "file://"+t.TempDir())
	f.put("a/b")
	for _, folder := range []string{"", "/", "a", "a/b"} {
		if _, err := f.fresh().empty(t.Context(), folder); err == nil || len(f.keys("")) != 1 {
			t.Errorf("%q was emptied: %v", folder, err)
		}
	}
}

// gateway runs a real S3 server and returns the location of a bucket on it.
func gateway(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs("../../bin/tools/versitygw")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no S3 server to test with: ", err)
	}
	const access, secret = "recfleet-test", "recfleet-test-secret"
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_CONFIG_FILE": none,
		"AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, root := l.Addr().String(), t.TempDir()
	if err := errors.Join(l.Close(), os.Mkdir(filepath.Join(root, "recordings"), 0o750)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--port", addr, "--health", "/healthz", "--quiet", "posix", root)
	cmd.Env = slices.Concat(os.Environ(), []string{"ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get(fmt.Sprintf("http://%s/healthz", addr))
		if err == nil {
			_ = answer.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return "s3://recordings@" + addr + "/prefix/?insecure=true"
}
