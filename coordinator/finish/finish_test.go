package finish

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

var start = time.Date(2026, 9, 3, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// detail is a session of 60 s with segments from and to such seconds.
func detail(state catalog.SegmentState, stretches ...[2]float64) catalog.Detail {
	d := catalog.Detail{Session: catalog.Session{
		ID: "s", ArchivePrefix: "s/", FrameRate: 5, Start: start, End: at(60), EndedBy: catalog.PartyAgent, State: catalog.SessionFinalizing,
	}}
	for i, s := range stretches {
		d.Segments = append(d.Segments, catalog.Segment{
			Session: "s", State: state, Seal: catalog.Seal{Segment: i + 1, Start: at(s[0]), End: at(s[1]), Frames: 1},
		})
	}
	return d
}

func newFinish(t *testing.T) (*Finish, object.Store) {
	t.Helper()
	location, err := object.ParseLocation("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return New(openCatalog(t), nil, store, newKey(t), hclog.NewNullLogger()), store
}

func openCatalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newKey(t *testing.T) *signer.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer.New(key)
}

func TestEveryStretchIsAccountedFor(t *testing.T) {
	archived, quarantined := catalog.SegmentArchived, catalog.SegmentQuarantined
	withGap := detail(archived, [2]float64{0, 20}, [2]float64{40, 60})
	withGap.Gaps = []catalog.Gap{{Start: at(20), End: at(40), Cause: "agent_lost"}}
	for name, test := range map[string]struct {
		detail catalog.Detail
		want   []string // cause, from and to
	}{
		"whole":        {detail(archived, [2]float64{0, 30}, [2]float64{30, 60}), nil},
		"with its gap": {withGap, nil},
		"hole within":  {detail(archived, [2]float64{0, 20}, [2]float64{40, 60}), []string{causeUnexplained + " 20s 40s"}},
		"late start":   {detail(archived, [2]float64{5, 60}), []string{causeStarting + " 0s 5s"}},
		"early end":    {detail(archived, [2]float64{0, 50}), []string{causeUnexplained + " 50s 1m0s"}},
		"quarantined":  {detail(quarantined, [2]float64{0, 60}), []string{causeQuarantined + " 0s 1m0s"}},
		"nothing":      {detail(archived), []string{causeNothing + " 0s 1m0s"}},
	} {
		f, _ := newFinish(t)
		var got []string
		for _, g := range f.unaccounted(test.detail) {
			got = append(got, g.Cause+" "+g.Start.Sub(start).String()+" "+g.End.Sub(start).String())
		}
		if strings.Join(got, "; ") != strings.Join(test.want, "; ") {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		// What was declared explains everything: a second run, after a crash, declares nothing else.
		test.detail.Gaps = append(test.detail.Gaps, f.unaccounted(test.detail)...)
		for _, g := range f.unaccounted(test.detail) {
			if g.Cause != causeQuarantined {
				t.Errorf("%s: a second run finds %v", name, g)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	whole := detail(catalog.SegmentArchived, [2]float64{0, 60})
	lost := detail(catalog.SegmentArchived, [2]float64{0, 60})
	lost.Session.EndedBy, lost.Session.StateReason = catalog.PartyCoordinator, "silent"
	bad := detail(catalog.SegmentQuarantined, [2]float64{0, 60})
	bad.Session.EndedBy, bad.Session.StateReason = catalog.PartyCoordinator, "silent"
	for _, test := range []struct {
		detail catalog.Detail
		state  catalog.SessionState
		reason string
	}{
		{whole, catalog.SessionComplete, ""},
		{lost, catalog.SessionInterrupted, "silent"},
		{bad, catalog.SessionInterrupted, "silent; 1 of 1 segments quarantined"},
		{detail(catalog.SegmentArchived), catalog.SessionEmpty, "nothing was captured"},
	} {
		if state, reason := outcome(test.detail); state != test.state || reason != test.reason {
			t.Errorf("%s %q, want %s %q", state, reason, test.state, test.reason)
		}
	}
}

func read(t *testing.T, s object.Store, key string) []byte {
	t.Helper()
	body, _, err := s.Get(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestManifestsAreSignedOverTheirBytes(t *testing.T) {
	f, store := newFinish(t)
	d := detail(catalog.SegmentArchived, [2]float64{0, 60})
	for range 2 { // again after a crash
		if err := f.archiveDocuments(t.Context(), d, catalog.SessionComplete, ""); err != nil {
			t.Fatal(err)
		}
	}
	list, signature := read(t, store, "s/"+manifest.Name), read(t, store, "s/"+manifest.SignatureName)
	if !ed25519.Verify(f.keys.Public(), list, signature) {
		t.Error("the signature is not that of the manifest")
	}
	if m, err := manifest.Parse(list); err != nil || m.Session.ID != "s" || len(m.Segments) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	// A coordinator with another key comes to the same session: what was signed stays.
	other := New(f.catalog, nil, store, newKey(t), hclog.NewNullLogger())
	if err := other.archiveDocuments(t.Context(), d, catalog.SessionComplete, ""); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(read(t, store, "s/"+manifest.SignatureName), signature) {
		t.Error("the signature was replaced")
	}
	// Another manifest is not taken for it.
	if err := f.archiveDocuments(t.Context(), d, catalog.SessionInterrupted, "other"); !errors.Is(err, object.ErrExists) {
		t.Errorf("%v", err)
	}
}

// The end marker is the last thing that is written, and only of sessions that are complete.
func TestTheEndMarker(t *testing.T) {
	d := detail(catalog.SegmentArchived, [2]float64{0, 60})
	for _, state := range []catalog.SessionState{catalog.SessionInterrupted, catalog.SessionEmpty} {
		f, store := newFinish(t)
		if err := f.archiveDocuments(t.Context(), d, state, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Stat(t.Context(), "s/"+manifest.MarkerName); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("%s: there is one: %v", state, err)
		}
	}
	f, store := newFinish(t)
	archive := &noting{Store: store}
	f.archive = archive
	if err := f.archiveDocuments(t.Context(), d, catalog.SessionComplete, ""); err != nil {
		t.Fatal(err)
	}
	if last := archive.keys[len(archive.keys)-1]; last != "s/"+manifest.MarkerName {
		t.Errorf("written: %v", archive.keys)
	}
	list := read(t, store, "s/"+manifest.Name)
	sum := sha256.Sum256(list)
	m, err := manifest.ParseMarker(read(t, store, "s/"+manifest.MarkerName))
	if err != nil || m.SessionID != "s" || m.ManifestBytes != len(list) || m.ManifestSHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v, %v", m, err)
	}
	// Where anything before it cannot be written there is none.
	f, store = newFinish(t)
	if _, err := store.Put(t.Context(), "s/"+manifest.SignatureName, strings.NewReader("not one"), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := f.archiveDocuments(t.Context(), d, catalog.SessionComplete, ""); err == nil {
		t.Error("a foreign signature was taken")
	}
	if _, err := store.Stat(t.Context(), "s/"+manifest.MarkerName); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("there is one: %v", err)
	}
}

// noting is an archive that tells what was put.
type noting struct {
	object.Store
	keys []string
}

func (n *noting) Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (object.Info, error) {
	info, err := n.Store.Put(ctx, key, body, opts)
	if err == nil {
		n.keys = append(n.keys, key)
	}
	return info, err
}

// The eight fields are there under their names, also where nothing is known of them.
func TestMetadataNamesThePlatformsFields(t *testing.T) {
	d := detail(catalog.SegmentArchived, [2]float64{0, 60})
	d.Session.Metadata = map[string]string{
		"AppStream_Stack_Name": "st", "AppStream_User_Access_Mode": "SAML", "AppStream_Session_Reservation_DateTime": "2026-01-02T03:04:05Z",
		"AppStream_UserName": "ann", "AppStream_Session_ID": "p-1", "AppStream_Image_Arn": "arn:i", "AppStream_Instance_Type": "stream.x", "AppStream_Resource_Name": "fl",
	}
	for _, c := range []struct {
		metadata map[string]string
		want     string
	}{
		{d.Session.Metadata, "st SAML 2026-01-02T03:04:05Z ann p-1 arn:i stream.x fl"}, {nil, "       "},
	} {
		d.Session.Metadata = c.metadata
		raw, err := encode(metadataOf(d))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		var values []string
		for _, name := range []string{"StackName", "UserAccessMode", "SessionReservationDateTime", "UserName", "SessionId", "ImageArn", "InstanceType", "FleetName"} {
			value, ok := got[name].(string)
			if !ok {
				t.Errorf("%s is missing", name)
			}
			values = append(values, value)
		}
		if strings.Join(values, " ") != c.want {
			t.Errorf("%q, want %q", values, c.want)
		}
	}
}

func TestAForeignSignatureIsNotTaken(t *testing.T) {
	f, store := newFinish(t)
	if _, err := store.Put(context.WithoutCancel(t.Context()), "s/"+manifest.SignatureName, bytes.NewReader([]byte("not one")), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := f.archiveDocuments(t.Context(), detail(catalog.SegmentArchived, [2]float64{0, 60}), catalog.SessionComplete, ""); !errors.Is(err, object.ErrExists) {
		t.Errorf("%v", err)
	}
}
