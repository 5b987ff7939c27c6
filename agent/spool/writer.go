package spool

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

const (
	// cutAfter is the age at which the end of a frame ends the chunk too.
	cutAfter = 750 * time.Millisecond
	// staleAfter is the age at which the chunk is ended wherever it is.
	staleAfter = 950 * time.Millisecond
)

// SegmentConfig is what is known of a segment when it begins.
type SegmentConfig struct {
	Epoch         int
	Width, Height int
	// Start is the time of the first frame.
	Start time.Time
	// Interval is the time between two frames, the one that was ordered where it is 0. The last frame of a segment that is cut short
	// lasts so long.
	Interval time.Duration
}

// Writer takes the stream of the segment being captured. It is for one goroutine. What is written is in the kernel at the
// latest with FrameEnd and on disk about a second later; no method waits for the disk.
type Writer struct {
	s           *Session
	seg         *segment
	data, index *os.File
	indexed     int64 // bytes of index
	limit       int
	interval    time.Duration

	buf     []byte // the chunk in the making
	flushed int    // bytes of buf in the file
	cur     record // of the chunk in the making
	frames  int64
	last    int64
	written int // chunks in the files
	oldest  time.Time
	sealed  bool
	end     time.Time
	err     error
}

// NewSegment opens the next segment of the session.
func (s *Session) NewSegment(cfg SegmentConfig) (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	if n := len(s.segments); s.spool.Full() || n > 0 && s.segments[n-1].writer != nil && s.segments[n-1].writer.err != nil {
		return nil, fmt.Errorf("open segment: %w", s.spool.isFull(nil)) // the last is still to be salvaged
	}
	limit := s.reg.Settings.ChunkBytes
	if limit <= 0 || limit > chunk.MaxPayload {
		limit = chunk.MaxPayload
	}
	start := cfg.Start.UnixNano()
	head := record{kind: kindHeader, epoch: cfg.Epoch, width: cfg.Width, height: cfg.Height, start: start, last: start}
	g := &segment{number: len(s.segments) + 1, header: head}
	w := &Writer{s: s, seg: g, limit: limit, buf: make([]byte, 0, limit), cur: head, last: start, interval: cfg.Interval}
	var err error
	if w.index, err = os.OpenFile(s.path(g.number, "chunks"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, fmt.Errorf("open segment %d: %w", g.number, w.full(err))
	}
	err = w.put(head)
	if err == nil {
		w.data, err = os.OpenFile(s.path(g.number, StateOpen.String()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %d: %w", g.number, w.full(err)), w.index.Close(), os.Remove(w.index.Name()))
	}
	w.cur.kind = kindChunk
	g.writer = w
	s.segments = append(s.segments, g)
	s.spool.paused.Store(false)
	return w, nil
}

// Number returns the segment's number in the session.
func (w *Writer) Number() int { return w.seg.number }

// Bytes returns the length of the stream so far.
func (w *Writer) Bytes() int64 {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.seg.bytes
}

// put adds a record to the index.
func (w *Writer) put(r record) error {
	var b [recordSize]byte
	r.put(&b)
	err := w.s.spool.closing(func() error {
		_, err := w.index.WriteAt(b[:], w.indexed)
		return err
	})
	if err == nil {
		w.indexed += recordSize
	}
	return err
}

// full makes an ErrFull of an error that says that there is no space.
func (w *Writer) full(err error) error {
	if noSpace(err) {
		return w.s.spool.isFull(err)
	}
	return err
}

// Write adds to the stream.
func (w *Writer) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	total := len(p)
	for len(p) > 0 {
		if len(w.buf) == w.limit {
			if err := w.cut(); err != nil {
				return total - len(p), err
			}
		}
		if len(w.buf) == 0 {
			w.oldest = time.Now()
		}
		n := min(len(p), w.limit-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
	}
	w.s.spool.bytes.Add(int64(total))
	w.seg.bytes += int64(total)
	return total, nil
}

// FrameEnd says that what was written so far ends with a whole frame, taken at the given time. It answers ErrFull where
// the spool has reached its bound: the frame is kept, and the segment is to be sealed.
func (w *Writer) FrameEnd(at time.Time) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.frames++
	w.last = max(at.UnixNano(), w.last)
	// The first frame goes out at once: it shows that recording works.
	if w.frames == 1 || time.Since(w.oldest) >= cutAfter {
		if err := w.cut(); err != nil {
			return err
		}
	} else if err := w.flush(); err != nil {
		return err
	}
	if w.s.spool.Full() {
		return fmt.Errorf("write segment %d: %w", w.seg.number, w.s.spool.isFull(nil))
	}
	return nil
}

// Seal ends the segment; end is exclusive. It is on disk and has its event once Flush has been through.
func (w *Writer) Seal(end time.Time) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	defer w.s.poke()
	w.sealed, w.end = true, end
	if w.err != nil {
		if w.frames > 0 {
			w.s.until = time.Unix(0, w.last).Add(w.interval)
		}
		return w.err
	}
	w.s.until = end
	if err := w.cut(); err != nil {
		return err
	}
	r := w.cur
	r.kind, r.seq, r.length, r.sum = kindSeal, w.written, 0, chunk.Hash{}
	r.frames, r.last = w.frames, end.UnixNano()
	if err := w.put(r); err != nil {
		return w.fail(err)
	}
	return nil
}

// flush hands what is buffered to the kernel.
func (w *Writer) flush() error {
	if w.flushed == len(w.buf) {
		return nil
	}
	n, err := w.data.Write(w.buf[w.flushed:])
	w.flushed += n
	if err != nil {
		return w.fail(err)
	}
	return nil
}

// cut ends the chunk in the making.
func (w *Writer) cut() error {
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	r := &w.cur
	r.seq, r.length, r.frames, r.last, r.sum = w.written, len(w.buf), w.frames, w.last, chunk.Sum(w.buf)
	if err := w.put(*r); err != nil {
		return w.fail(err)
	}
	w.written++
	r.offset += int64(len(w.buf))
	w.buf, w.flushed = w.buf[:0], 0
	w.s.poke()
	return nil
}

// fail remembers the first error: after it, only what Flush can save of the segment counts.
func (w *Writer) fail(err error) error {
	w.err = fmt.Errorf("write segment %d: %w", w.seg.number, w.full(err))
	return w.err
}

func (w *Writer) closeFiles() error { return errors.Join(w.data.Close(), w.index.Close()) }

// Flush brings everything written before the call to disk, and makes it visible to readers: chunks, events, seals. Where it
// fails, what had not been on disk before may never be handed out, and the session takes no more segments.
func (s *Session) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	for _, w := range s.writers() {
		if err := s.flushSegment(w); err != nil {
			return err
		}
	}
	s.mu.Lock()
	n, file, dirty := len(s.events.offsets), s.events.file, s.events.durable < len(s.events.offsets)
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := file.Sync(); err != nil {
		return s.breakWith(fmt.Errorf("sync event log: %w", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.durable = n
	s.notify()
	return nil
}

func (s *Session) writers() []*Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ws []*Writer
	for _, g := range s.segments {
		if g.writer != nil {
			ws = append(ws, g.writer)
		}
	}
	return ws
}

func (s *Session) breakWith(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
	return s.broken
}

func (s *Session) flushSegment(w *Writer) error {
	s.mu.Lock()
	if s.broken != nil {
		s.mu.Unlock()
		return s.broken
	}
	if w.err == nil && len(w.buf) > 0 && time.Since(w.oldest) >= staleAfter {
		_ = w.cut() // kept in w.err
	}
	g, n, sealed, failed := w.seg, w.written, w.sealed, w.err
	dirty := n > g.chunks && w.frames > 0 // a segment without a frame is none
	empty := sealed && w.frames == 0
	s.mu.Unlock()
	if failed != nil || empty {
		if !sealed {
			return nil // its writer learns of it and seals
		}
		return s.salvage(w)
	}
	if dirty || sealed {
		if err := errors.Join(w.data.Sync(), w.index.Sync()); err != nil {
			return s.breakWith(fmt.Errorf("sync segment %d: %w", g.number, err))
		}
		if g.chunks == 0 {
			// The names too, before anything of the segment is handed out.
			if err := syncDir(s.dir); err != nil {
				return s.breakWith(err)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if dirty {
		g.chunks = n
		s.notify()
	}
	if !sealed {
		return nil
	}
	if err := w.closeFiles(); err != nil {
		return err
	}
	g.writer = nil
	return s.finishSeal(g, w.frames, w.end)
}

// finishSeal renames a segment whose files are complete and on disk, and appends its event, the last trace of which a
// recovery would make again. Called with mu held.
func (s *Session) finishSeal(g *segment, frames int64, end time.Time) error {
	if err := s.move(g, StateSealed); err != nil {
		return err
	}
	if err := s.appendSealed(g, frames, end); err != nil {
		return err
	}
	s.log.Info("segment sealed", "segment", g.number, "chunks", g.chunks, "bytes", g.bytes, "frames", frames)
	s.notify()
	return nil
}

// appendSealed appends the event of a sealed segment, once. Called with mu held.
func (s *Session) appendSealed(g *segment, frames int64, end time.Time) error {
	if s.events.sealed[g.number] {
		return nil
	}
	_, err := s.append(Event{Time: end, SegmentSealed: &SegmentSealed{
		Segment: g.number, Epoch: g.header.epoch, Chunks: g.chunks, Bytes: g.bytes, Frames: frames,
		Start: time.Unix(0, g.header.start), End: end, Width: g.header.width, Height: g.header.height,
	}})
	return err
}
