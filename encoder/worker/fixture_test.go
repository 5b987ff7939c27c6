package worker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/screencodec"
	"github.com/recfleet/recfleet/test/content"
)

// recorded is a segment as an agent publishes it.
type recorded struct {
	job    Job
	chunks []chunk.Chunk
	pix    [][]byte
	at     []time.Duration
	stream []byte
}

// record makes a segment of a desktop, with frames 200 ms apart but for a stretch of 7 s before the last five.
func record(t *testing.T, width, height, frames int) *recorded {
	t.Helper()
	r := &recorded{}
	var scene *content.Source
	if width >= 64 && height >= 64 {
		var err error
		if scene, err = content.Open("mixed", width, height); err != nil {
			t.Fatal(err)
		}
	}
	e, err := screencodec.NewEncoder(screencodec.Config{Width: width, Height: height, KeyInterval: 50})
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := e.Begin(&stream, start); err != nil {
		t.Fatal(err)
	}
	at := time.Duration(0)
	for i := range frames {
		pix := bytes.Repeat([]byte{byte(40 * i), byte(255 - 20*i), 128, 0}, width*height)
		if scene != nil {
			scene.Next(pix)
		}
		if i > 0 {
			at += 200*time.Millisecond + time.Duration(i%3)*time.Millisecond
		}
		if i == frames-5 {
			at += 7 * time.Second
		}
		if _, err := e.Encode(pix, at); err != nil {
			t.Fatal(err)
		}
		r.pix, r.at = append(r.pix, pix), append(r.at, at)
	}
	end := at + 200*time.Millisecond
	if err := e.End(end); err != nil {
		t.Fatal(err)
	}
	r.stream = stream.Bytes()
	r.job = Job{
		Generation: 3, ObjectKey: key,
		Source: Source{
			Session: session, Segment: 1, Frames: int64(frames), Width: width, Height: height, Start: start, Duration: end,
			ChainStart: chunk.Genesis(session),
		},
		Settings: Settings{FrameRate: rate, Preset: "veryfast", CRF: 18, KeyframeInterval: 10 * time.Second},
	}
	r.cut()
	return r
}

// cut makes chunks of the stream and announces them.
func (r *recorded) cut() {
	s := &r.job.Source
	chain, offset := s.ChainStart, int64(0)
	r.chunks = nil
	size := len(r.stream)/5 + 1 // several chunks even of a small stream
	for piece := range slices.Chunk(r.stream, min(size, chunk.MaxPayload)) {
		sum := chunk.Sum(piece)
		chain = chain.Next(sum)
		r.chunks = append(r.chunks, chunk.Chunk{
			Session: session, Segment: 1, Seq: len(r.chunks), Epoch: 1, Offset: offset, Sum: sum, Chain: chain,
			Bytes: len(piece), Payload: piece,
		})
		offset += int64(len(piece))
	}
	s.Chunks, s.Bytes, s.ChainEnd = len(r.chunks), offset, chain
}

// Read is the fake bus.
func (r *recorded) Read(ctx context.Context, _ string, segment, count int, yield func(chunk.Chunk) error) error {
	for seq := range count {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if seq >= len(r.chunks) {
			return fmt.Errorf("read chunk %d.%d: %w", segment, seq, bus.ErrChunkMissing)
		}
		if err := yield(r.chunks[seq]); err != nil {
			return err
		}
	}
	return nil
}

// fixture is a worker with a directory as archive.
type fixture struct {
	store   object.Store
	workDir string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	location, err := object.ParseLocation("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &fixture{store: store, workDir: t.TempDir()}
}

func (f *fixture) run(ctx context.Context, reader Reader, job Job) (Result, error) {
	w := New(Config{Reader: reader, Archive: f.store, WorkDir: f.workDir, Stall: time.Minute, Logger: hclog.NewNullLogger()})
	return w.Run(ctx, job, func(int64) {})
}

// nothingLeft checks that neither archive nor work directory got anything.
func (f *fixture) nothingLeft(t *testing.T) {
	t.Helper()
	for info, err := range f.store.List(t.Context(), "") {
		t.Errorf("archived: %v, %v", info.Key, err)
	}
	entries, err := os.ReadDir(f.workDir)
	if err != nil || len(entries) != 0 {
		t.Errorf("work directory holds %v, %v", entries, err)
	}
}
