package spool

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Whatever a crash or a bad disk has left in a session's folder, the spool opens or says why not, and what it finds is in order.
func FuzzOpenLeft(f *testing.F) {
	const id = "r100000000000000000"
	registration, err := json.Marshal(Registration{RequestID: id, SessionID: "a1", Settings: DefaultSettings(), Start: began})
	if err != nil {
		f.Fatal(err)
	}
	whole := index{header: mk(kindHeader, 0, 0, 0), chunks: []record{mk(kindChunk, 0, 0, 10)}}
	seal := mk(kindSeal, 1, 10, 0)
	whole.seal = &seal
	open := whole.encode()[:2*recordSize]
	event, err := eventLine(Event{Number: 1, Time: began, SegmentSealed: &SegmentSealed{Segment: 1}})
	if err != nil {
		f.Fatal(err)
	}
	receipt, err := json.Marshal(freed{Chunks: 1, ChainEnd: chunk.Sum(nil).String()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(registration, event, receipt, open, []byte("0123456789abc"))
	f.Add(registration, []byte{}, []byte(`{"chunks":-1}`), whole.encode(), []byte("0123456789"))
	f.Add([]byte(`{"request_id":"`+id+`","settings":{"frame_rate":-5}}`), event[:9], []byte{}, open[:100], []byte{})
	f.Add([]byte(`{}`), event, receipt, []byte{}, []byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, registration, events, receipt, chunks, data []byte) {
		for _, state := range []State{StateOpen, StateSealed, StatePublished} {
			root := filepath.Join(dir, state.String())
			session := filepath.Join(root, "sessions", id)
			if err := os.MkdirAll(session, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, raw := range map[string][]byte{
				"session.json": registration, "events.log": events, "000001.freed": receipt, "000002.chunks": chunks, "000002." + state.String(): data,
				"../../settings.json": registration,
			} {
				if err := os.WriteFile(filepath.Join(session, name), raw, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, err := Open(Config{Dir: root, Scan: hundreds, ReserveBytes: 1})
			if err == nil {
				check(t, p)
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func check(t *testing.T, p *Spool) {
	t.Helper()
	if err := p.Remembered().Validate(); err != nil {
		t.Errorf("remembers %v", err)
	}
	for _, s := range p.Left() {
		if id := s.Registration().SessionID; id != "" && !chunk.ValidSession(id) {
			t.Errorf("goes on with session %q", id)
		}
		for i, g := range s.Segments() {
			if g.Number != i+1 || g.Chunks < 0 || g.Bytes < 0 || g.State == StateOpen {
				t.Errorf("segment %d is %+v", i+1, g)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
