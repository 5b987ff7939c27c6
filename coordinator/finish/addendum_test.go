package finish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

// kept is a session of three segments that is final, of which the last two are quarantined.
type kept struct {
	*testing.T
	catalog *catalog.Catalog
	store   object.Store
	key     *signer.Signer
	streams *streams
}

// streams is a bus that tells which session's stream was deleted.
type streams struct {
	mu      sync.Mutex
	deleted []string
}

func (s *streams) DeleteSession(_ context.Context, session string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted = append(s.deleted, session)
	return nil
}

func newKept(t *testing.T) *kept {
	t.Helper()
	f, store := newFinish(t)
	c := f.catalog
	k := &kept{T: t, catalog: c, store: store, key: f.keys, streams: &streams{}}
	ctx := t.Context()
	_, _, err := c.CreateSession(ctx, catalog.Session{
		ID: "s", RequestID: "r", ArchivePrefix: "s/", FrameRate: 5, Start: start, Created: start, LastSegment: catalog.Unknown,
	})
	hash := chunk.Genesis("s")
	events := []catalog.Event{{Number: 1, Time: start, Epoch: &catalog.Epoch{Number: 1, Start: start, Geometry: catalog.Geometry{Width: 4, Height: 2}, Cause: "start"}}}
	var seals []catalog.Seal
	for n := 1; n <= 3; n++ {
		seal := catalog.Seal{
			Segment: n, Epoch: 1, Start: at(float64(20 * (n - 1))), End: at(float64(20 * n)), Width: 4, Height: 2, Frames: 9, Chunks: 1, Bytes: 7,
			ChainStart: hash, ChainEnd: hash.Next(chunk.Sum([]byte{byte(n)})),
		}
		hash = seal.ChainEnd
		seals = append(seals, seal)
		events = append(events, catalog.Event{Number: int64(n + 1), Time: seal.End, Seal: &seal})
	}
	_, appendErr := c.AppendEvents(ctx, "s", events)
	err = errors.Join(err, appendErr)
	for _, seal := range seals {
		err = errors.Join(err, c.AddSegment(ctx, catalog.Segment{Session: "s", Seal: seal, SealedBy: catalog.PartyAgent}, start))
	}
	err = errors.Join(err, c.EndSession(ctx, "s", catalog.End{Reason: "stopped", Time: at(60), LastSegment: 3, LastEvent: 4}))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		l := k.lease()
		if l.Seal.Segment == 1 {
			k.complete(l)
			continue
		}
		if _, err := c.FailJob(ctx, l.Job.ID, l.Job.Generation, catalog.Failure{Encoder: "e", Content: true, Detail: "x", Limit: 1, Backoff: func(int) time.Duration { return 0 }}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	k.step(k.finish())
	if d := k.detail(); d.Session.State != catalog.SessionComplete || len(d.Gaps) != 2 || d.Session.StateReason != "2 of 3 segments quarantined" || len(k.streams.deleted) > 0 {
		t.Fatalf("%+v", d)
	}
	return k
}

func (k *kept) finish() *Finish {
	return New(k.catalog, k.streams, k.store, k.key, hclog.NewNullLogger())
}

func (k *kept) step(f *Finish) {
	k.Helper()
	if err := f.Step(k.Context()); err != nil {
		k.Fatal(err)
	}
}

func (k *kept) detail() catalog.Detail {
	k.Helper()
	d, err := k.catalog.Detail(k.Context(), "s")
	if err != nil {
		k.Fatal(err)
	}
	return d
}

func (k *kept) lease() catalog.Leased {
	k.Helper()
	got, err := k.catalog.LeaseJobs(k.Context(), "e", 1, time.Now(), time.Now().Add(time.Minute))
	if err != nil || len(got) != 1 {
		k.Fatal(got, err)
	}
	return got[0]
}

func (k *kept) complete(l catalog.Leased) {
	k.Helper()
	content := fmt.Sprintf("mp4 of %s, %d", l.Job.ID, l.Job.Generation)
	key := fmt.Sprintf("s/video-%06d.mp4", l.Seal.Segment)
	_, err := k.store.Put(k.Context(), key, strings.NewReader(content), object.PutOptions{})
	err = errors.Join(err, k.catalog.CompleteJob(k.Context(), l.Job.ID, l.Job.Generation, catalog.Recording{
		ObjectKey: key, Bytes: int64(len(content)), SHA256: chunk.Sum([]byte(content)), Width: 4, Height: 2, Frames: 9,
		Duration: 20 * time.Second, Codec: "libx264", EncoderID: "e",
	}))
	if err != nil {
		k.Fatal(err)
	}
}

// retry has a quarantined segment encoded after all.
func (k *kept) retry(segment int) {
	k.Helper()
	if _, err := k.catalog.RetryJob(k.Context(), catalog.JobID("s", segment), time.Now()); err != nil {
		k.Fatal(err)
	}
	k.complete(k.lease())
}

// chain reads the manifests and checks that each is signed, and goes on from the one before.
func (k *kept) chain() (all []manifest.Manifest, raw [][]byte) {
	k.Helper()
	for number := 1; ; number++ {
		if _, err := k.store.Stat(k.Context(), "s/"+manifest.NameOf(number)); errors.Is(err, object.ErrNotFound) {
			return all, raw
		}
		content := read(k.T, k.store, "s/"+manifest.NameOf(number))
		if !ed25519.Verify(k.key.Public(), content, read(k.T, k.store, "s/"+manifest.SignatureNameOf(number))) {
			k.Errorf("%s is not signed", manifest.NameOf(number))
		}
		m, err := manifest.Parse(content)
		if err != nil || m.Number() != number {
			k.Fatalf("%s: number %d, %v", manifest.NameOf(number), m.Number(), err)
		}
		if number > 1 {
			if err := m.Follows(all[number-2], raw[number-2]); err != nil {
				k.Errorf("%s: %v", manifest.NameOf(number), err)
			}
		}
		all, raw = append(all, m), append(raw, content)
	}
}

// Each segment that is encoded after all gets its addendum; nothing that was there changes.
func TestAddenda(t *testing.T) {
	k := newKept(t)
	_, before := k.chain()
	marker := read(t, k.store, "s/"+manifest.MarkerName)
	f := k.finish()
	k.step(f)
	if all, _ := k.chain(); len(all) != 1 {
		t.Fatal("an addendum without anything new")
	}
	k.retry(3)
	k.step(f)
	k.step(f)
	all, _ := k.chain()
	if len(all) != 2 || !slices.Equal(all[1].Addendum.Segments, []int{3}) || len(all[1].Gaps) != 1 || all[1].Session.StateReason != "1 of 3 segments quarantined" ||
		all[1].Segments[2].Object == nil || all[1].RecordedSeconds != 40 || all[1].MissingSeconds != 20 {
		t.Fatalf("%+v", all)
	}
	if len(k.streams.deleted) > 0 {
		t.Error("the stream of a session with a quarantined segment was deleted")
	}
	// The next one while a segment is tried again and fails again changes nothing.
	if _, err := k.catalog.RetryJob(t.Context(), "s.2", time.Now()); err != nil {
		t.Fatal(err)
	}
	k.step(f)
	l := k.lease()
	if _, err := k.catalog.FailJob(t.Context(), l.Job.ID, l.Job.Generation, catalog.Failure{Encoder: "e", Content: true, Detail: "x", Limit: 1, Backoff: func(int) time.Duration { return 0 }}, time.Now()); err != nil {
		t.Fatal(err)
	}
	k.step(f)
	if all, _ := k.chain(); len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	k.retry(2)
	k.step(f)
	all, raw := k.chain()
	if len(all) != 3 || all[2].Session.StateReason != "" || len(all[2].Gaps) != 0 || all[2].RecordedSeconds != 60 {
		t.Fatalf("%+v", all)
	}
	if string(raw[0]) != string(before[0]) || string(read(t, k.store, "s/"+manifest.MarkerName)) != string(marker) {
		t.Error("what was there has changed")
	}
	if d := k.detail(); d.Session.State != catalog.SessionComplete || d.Session.StateReason != "" || len(d.Gaps) != 0 {
		t.Errorf("%+v", d)
	}
	if !slices.Equal(k.streams.deleted, []string{"s"}) {
		t.Errorf("streams deleted: %v", k.streams.deleted)
	}
	told, err := k.catalog.Untold(t.Context(), time.Now().Add(time.Hour))
	if err != nil || len(told) != 3 || told[1].Addendum != 2 || told[2].Addendum != 3 || told[2].Manifest.SHA256 != manifest.DocumentOf(3, raw[2]).SHA256 {
		t.Errorf("%+v, %v", told, err)
	}
}

// mortal is an archive and a bus of a coordinator that is killed after so many operations: from then on none of its calls come to
// anything, nor do those on the catalog.
type mortal struct {
	object.Store
	*streams
	left int
	kill context.CancelFunc
}

var errKilled = errors.New("killed")

func (m *mortal) Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (info object.Info, err error) {
	err = m.live(func() error { info, err = m.Store.Put(ctx, key, body, opts); return err })
	return info, err
}

func (m *mortal) DeleteSession(ctx context.Context, session string) error {
	return m.live(func() error { return m.streams.DeleteSession(ctx, session) })
}

// live does one operation, unless it is dead. It dies after its last one, before it hears of it.
func (m *mortal) live(do func() error) error {
	if m.left == 0 {
		m.kill()
		return errKilled
	}
	err := do()
	if m.left--; m.left == 0 {
		m.kill()
		return errors.Join(err, errKilled)
	}
	return err
}

// A coordinator that is killed at any step of an addendum leaves one that the next brings to its end, with the same bytes, whatever
// has happened since.
func TestKilledWhileAmending(t *testing.T) {
	for killedAfter := range 4 {
		t.Run(fmt.Sprint(killedAfter), func(t *testing.T) {
			k := newKept(t)
			k.retry(2)
			ctx, cancel := context.WithCancel(t.Context())
			m := &mortal{Store: k.store, streams: k.streams, left: killedAfter, kill: cancel}
			if killedAfter == 3 { // the stream is deleted when nothing is quarantined any more
				k.retry(3)
			}
			if err := New(k.catalog, m, m, k.key, hclog.NewNullLogger()).Step(ctx); !errors.Is(err, errKilled) {
				t.Fatalf("it lived: %v", err)
			}
			settled, err := k.catalog.Addenda(t.Context(), "s")
			if err != nil || len(settled) != 1 || !settled[0].Written.IsZero() {
				t.Fatalf("%+v, %v", settled, err)
			}
			if killedAfter < 3 {
				k.retry(3)
			}
			_, err = k.store.Stat(t.Context(), "s/"+manifest.NameOf(2))
			if there := err == nil; there != (killedAfter >= 2) {
				t.Errorf("addendum there: %v", there)
			}
			f := k.finish()
			k.step(f)
			k.step(f)
			all, raw := k.chain()
			want := 3
			if killedAfter == 3 {
				want = 2
			}
			if len(all) != want || string(raw[1]) != string(settled[0].Content) || len(all[want-1].Gaps) != 0 || all[want-1].RecordedSeconds != 60 {
				t.Errorf("%d manifests, the last %+v", len(all), all[len(all)-1])
			}
			if d := k.detail(); len(d.Gaps) != 0 || !slices.Contains(k.streams.deleted, "s") {
				t.Errorf("%+v", d.Gaps)
			}
		})
	}
}

// Coordinators that amend at once write one chain.
func TestCoordinatorsAmendAtOnce(t *testing.T) {
	k := newKept(t)
	for _, segment := range []int{2, 3} {
		k.retry(segment)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if err := k.finish().Step(k.Context()); err != nil && !errors.Is(err, catalog.ErrConflict) && !errors.Is(err, errHopeless) {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	k.step(k.finish())
	if all, _ := k.chain(); len(all) != 3 || len(all[2].Gaps) != 0 {
		t.Errorf("%+v", all)
	}
}

// Nothing is put on a manifest that was altered, nor into a session that is to be deleted.
func TestWhatIsNotAmended(t *testing.T) {
	for name, spoil := range map[string]func(k *kept) error{
		"the manifest was altered": func(k *kept) error {
			raw := read(k.T, k.store, "s/"+manifest.Name)
			err := k.store.Delete(k.Context(), "s/"+manifest.Name)
			_, putErr := k.store.Put(k.Context(), "s/"+manifest.Name, strings.NewReader(strings.Replace(string(raw), "stopped", "nothing", 1)), object.PutOptions{})
			return errors.Join(err, putErr)
		},
		"the manifest is another one than was noted": func(k *kept) error {
			return k.catalog.NoteManifest(k.Context(), "s", catalog.Manifest{SHA256: chunk.Sum([]byte("x")).String(), Bytes: 1})
		},
		"the manifest is gone": func(k *kept) error { return k.store.Delete(k.Context(), "s/"+manifest.Name) },
		"it is to be deleted": func(k *kept) error {
			return k.catalog.OrderDeletion(k.Context(), "s", catalog.Deletion{Ordered: time.Now(), By: "ann"})
		},
	} {
		k := newKept(t)
		k.retry(2)
		if err := spoil(k); err != nil {
			t.Fatal(err)
		}
		err := k.finish().Step(t.Context())
		if (err == nil) != strings.Contains(name, "deleted") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := k.store.Stat(t.Context(), "s/"+manifest.NameOf(2)); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("%s: it was amended: %v", name, err)
		}
	}
}
