package custody_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
)

// archive is one of two days: s1 and s3 were closed on the first, s2 was closed and s3 deleted on the second.
type archive struct {
	t       *testing.T
	store   object.Store
	key     ed25519.PrivateKey
	days    []evidence.Day
	content map[string][]byte
	last    evidence.Record
	digest  evidence.Digest
	sum     string
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newArchive(t *testing.T, store object.Store, size int) *archive {
	t.Helper()
	a := &archive{t: t, store: store, key: newKey(t), days: []evidence.Day{"2026-01-01", "2026-01-02"}, content: map[string][]byte{}}
	one := a.session("s1", 1000, 2000)
	three := evidence.Closed{Session: "s3", State: "complete", Time: a.days[0].Start(), Manifest: evidence.File{
		Key: "f/s3/manifest.json", Bytes: 1, SHA256: chunk.Sum([]byte("gone")).String(),
	}}
	a.day(a.days[0], 2, evidence.Digest{Closed: []evidence.Closed{one, three}, Deleted: []evidence.Deleted{}})
	two := a.session("s2", size)
	gone := evidence.Deleted{Session: "s3", Folder: "f/s3/", Ordered: a.days[1].Start(), Done: a.days[1].Start(), By: "ann", Reason: "case 7"}
	a.day(a.days[1], 1, evidence.Digest{Closed: []evidence.Closed{two}, Deleted: []evidence.Deleted{gone}})
	return a
}

func (a *archive) public() ed25519.PublicKey { return a.key.Public().(ed25519.PublicKey) }

func (a *archive) put(key string, content []byte) evidence.File {
	a.t.Helper()
	info, err := a.store.Put(a.t.Context(), key, bytes.NewReader(content), object.PutOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	if info.Version == "" {
		a.t.Fatalf("%s has no version", key)
	}
	a.content[key] = content
	return evidence.File{Key: key, Version: info.Version, Bytes: int64(len(content)), SHA256: chunk.Sum(content).String()}
}

// signed puts a document and its signature.
func (a *archive) signed(key string, content []byte, err error) evidence.File {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
	a.put(key+".sig", ed25519.Sign(a.key, content))
	return a.put(key, content)
}

// session puts one with an mp4 of 10 s for each size.
func (a *archive) session(id string, sizes ...int) evidence.Closed {
	a.t.Helper()
	folder, start := "f/"+id+"/", time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	meta := []byte(`{"user":"ann"}`)
	document := a.put(folder+manifest.MetadataName, meta)
	length := time.Duration(len(sizes)) * 10 * time.Second
	m := manifest.Manifest{
		Format: manifest.Format, Version: manifest.Version, RecordedSeconds: length.Seconds(),
		Session: manifest.Session{
			ID: id, State: "complete", Start: start, End: start.Add(length), EndedBy: manifest.Agent, FrameRate: 5, ChainStart: chunk.Genesis(id).String(),
		},
		Epochs:    []manifest.Epoch{{Number: 1, Start: start, Geometry: manifest.Geometry{Width: 640, Height: 480}}},
		Documents: []manifest.Document{{Name: manifest.MetadataName, Bytes: document.Bytes, SHA256: document.SHA256}},
	}
	chain := m.Session.ChainStart
	for n, size := range sizes {
		name := folder + "video-00000" + string(rune('1'+n))
		video := make([]byte, size)
		if _, err := rand.Read(video); err != nil {
			a.t.Fatal(err)
		}
		mp4, sprite, index := a.put(name+".mp4", video), a.put(name+".thumbnails.jpg", []byte(name)), a.put(name+".thumbnails.vtt", []byte("WEBVTT "+name))
		next := chunk.Sum(video).String()
		m.Segments = append(m.Segments, manifest.Segment{
			Number: n + 1, Epoch: 1, State: manifest.Archived, SealedBy: manifest.Agent, Start: start.Add(time.Duration(n) * 10 * time.Second),
			End: start.Add(time.Duration(n+1) * 10 * time.Second), Width: 640, Height: 480, Frames: 50, Chunks: 1, ChainStart: chain, ChainEnd: next,
			Object: &manifest.Object{
				Key: mp4.Key, Version: mp4.Version, Bytes: mp4.Bytes, SHA256: mp4.SHA256, Width: 640, Height: 480, Frames: 50, DurationSeconds: 10,
				Thumbnails: &manifest.Thumbnails{Sprite: manifest.File(sprite), Index: manifest.File(index)},
			},
		})
		chain = next
	}
	raw, err := m.Encode()
	list := a.signed(folder+manifest.Name, raw, err)
	mark, err := manifest.NewMarker(id, len(raw), list.SHA256).Encode()
	if err != nil {
		a.t.Fatal(err)
	}
	a.put(folder+manifest.MarkerName, mark)
	return evidence.Closed{Session: id, State: "complete", Time: start, Manifest: list}
}

// day puts a day's audit of so many records, and its digest.
func (a *archive) day(day evidence.Day, records int, d evidence.Digest) {
	a.t.Helper()
	var audit bytes.Buffer
	lines := json.NewEncoder(&audit)
	first, previous := a.last.Number+1, a.last.Hash
	if err := lines.Encode(evidence.AuditHeader{Format: evidence.AuditFormat, Version: evidence.Version, Day: day, First: first, Previous: previous}); err != nil {
		a.t.Fatal(err)
	}
	for range records {
		r := evidence.Record{Number: a.last.Number + 1, Time: day.Start(), Who: "ann", Action: "session.delete", Result: "ok", Previous: a.last.Hash}
		r.Hash = r.Sum()
		if err := lines.Encode(r); err != nil {
			a.t.Fatal(err)
		}
		a.last = r
	}
	d.Format, d.Version, d.Day, d.Number, d.Previous = evidence.DigestFormat, evidence.Version, day, a.digest.Number+1, a.sum
	d.Audit = evidence.AuditFile{File: a.put(day.Key(evidence.AuditName), audit.Bytes()), First: first, Last: a.last.Number, Previous: previous, Head: a.last.Hash}
	raw, err := d.Encode()
	a.sum, a.digest = a.signed(day.Key(evidence.DigestName), raw, err).SHA256, d
}
