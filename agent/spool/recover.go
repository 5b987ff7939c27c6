package spool

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// recoverSession opens a session that an earlier process left. Open segments are sealed at the end of what is whole. It
// returns nil for a folder in which nothing was ever registered.
func (p *Spool) recoverSession(dir string) (*Session, error) {
	b, err := os.ReadFile(filepath.Join(dir, "session.json"))
	if errors.Is(err, fs.ErrNotExist) {
		// Made and not yet registered: there is nothing in it to lose.
		return nil, os.RemoveAll(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read registration: %w", err)
	}
	s := p.newSession(dir, Registration{})
	if err := json.Unmarshal(b, &s.reg); err != nil || s.reg.RequestID != filepath.Base(dir) {
		return nil, fmt.Errorf("read registration: %w", errors.Join(ErrDamaged, err))
	}
	s.log = p.log.With("request_id", s.reg.RequestID)
	if s.events, err = openEventLog(filepath.Join(dir, "events.log")); err != nil {
		return nil, err
	}
	if err := s.recoverSegments(); err != nil {
		return nil, errors.Join(err, s.events.file.Close())
	}
	return s, nil
}

func (s *Session) recoverSegments() error {
	found, err := s.findSegments()
	if err != nil {
		return err
	}
	for i, number := range found {
		g := &segment{number: number}
		keep, err := s.recoverSegment(g, s.interval())
		if err != nil {
			return fmt.Errorf("recover segment %d: %w", number, err)
		}
		if !keep {
			// Only segments of which nothing reached the disk come here, and nothing of them or of those after them was
			// ever handed out: those after move up.
			s.log.Error("segment lost before it reached the disk", "segment", number)
			if err := s.removeFiles(g); err != nil {
				return err
			}
			continue
		}
		if want := len(s.segments) + 1; number != want {
			if err := s.renumber(g, want); err != nil {
				return err
			}
		}
		s.segments = append(s.segments, g)
		if g.state != StateFreed {
			s.spool.bytes.Add(g.bytes)
		}
		if _, err := s.sealRecovered(g); err != nil {
			return fmt.Errorf("recover segment %d of %d: %w", number, len(found)-i, err)
		}
	}
	if err := s.events.file.Sync(); err != nil {
		return fmt.Errorf("sync event log: %w", err)
	}
	s.events.durable = len(s.events.offsets)
	return nil
}

// findSegments returns the numbers of which there is any file, in order.
func (s *Session) findSegments() ([]int, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read session folder: %w", err)
	}
	var found []int
	for _, e := range entries {
		name, suffix, _ := strings.Cut(e.Name(), ".")
		n, err := strconv.Atoi(name)
		known := suffix == "chunks"
		for st := StateOpen; st <= StateFreed; st++ {
			known = known || suffix == st.String()
		}
		if err == nil && n > 0 && known && !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found, nil
}

// recoverSegment reads what there is of a segment; false where there is nothing to keep. The last frame of one that was not sealed
// lasts for an interval.
func (s *Session) recoverSegment(g *segment, interval time.Duration) (bool, error) {
	switch b, err := os.ReadFile(s.path(g.number, StateFreed.String())); {
	case err == nil:
		return true, s.recoverFreed(g, b)
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	g.state = StateFreed
	for _, st := range []State{StateOpen, StateSealed, StatePublished} {
		if _, err := os.Stat(s.path(g.number, st.String())); err == nil {
			g.state = st
		}
	}
	b, err := os.ReadFile(s.path(g.number, "chunks"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	x, _, ok := parseIndex(b)
	if g.state == StateFreed || !ok {
		if g.state == StateSealed || g.state == StatePublished {
			return false, fmt.Errorf("index: %w", ErrDamaged)
		}
		g.state = StateOpen
		return false, nil
	}
	g.header = x.header
	if g.state == StateOpen {
		return s.mend(g, &x, interval)
	}
	if x.seal == nil {
		return false, fmt.Errorf("index: %w", ErrDamaged)
	}
	g.chunks, g.bytes = len(x.chunks), x.size()
	return true, nil
}

func (s *Session) recoverFreed(g *segment, b []byte) error {
	var f freed
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("read freed: %w", errors.Join(ErrDamaged, err))
	}
	raw, _ := hex.DecodeString(f.ChainEnd)
	end, err := chunk.ParseHash(raw)
	if err != nil {
		return fmt.Errorf("read freed: %w", errors.Join(ErrDamaged, err))
	}
	g.state, g.chunks, g.chainEnd = StateFreed, f.Chunks, &end
	return s.removeFiles(g)
}

// mend cuts an open segment's files to what is whole, completes its index and syncs both. It reports whether anything is
// left.
func (s *Session) mend(g *segment, x *index, interval time.Duration) (_ bool, err error) {
	data, err := os.OpenFile(s.path(g.number, StateOpen.String()), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	// Records may have reached the disk before their bytes did; those were never handed out.
	var buf []byte
	for n := len(x.chunks); n > 0; n-- {
		r := x.chunks[n-1]
		buf = slices.Grow(buf[:0], r.length)[:r.length]
		if _, err := data.ReadAt(buf, r.offset); err == nil && verifyChunk(r, buf) {
			break
		} else if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		x.chunks, x.seal = x.chunks[:n-1], nil
	}
	if x.seal == nil {
		if err := s.mendTail(x, data, interval); err != nil {
			return false, err
		}
	}
	if frames, _ := x.frames(); frames == 0 {
		return false, nil // nor was anything of it handed out
	}
	if err := data.Truncate(x.size()); err != nil {
		return false, err
	}
	if err := data.Sync(); err != nil {
		return false, err
	}
	g.chunks, g.bytes = len(x.chunks), x.size()
	return true, s.spool.closing(func() error { return replaceFile(s.path(g.number, "chunks"), x.encode()) })
}

// mendTail adds the bytes after the last chunk as far as they are whole frames, and a seal.
func (s *Session) mendTail(x *index, data *os.File, interval time.Duration) error {
	st, err := data.Stat()
	if err != nil {
		return err
	}
	whole := Prefix{Bytes: st.Size()}
	frames, last := x.frames()
	whole.Frames, whole.Last = frames, last.Sub(time.Unix(0, x.header.start))
	if s.spool.scan != nil {
		if whole, err = s.spool.scan(io.NewSectionReader(data, 0, st.Size())); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
	}
	buf := make([]byte, chunk.MaxPayload)
	for at := x.size(); at < whole.Bytes; {
		b := buf[:min(int64(len(buf)), whole.Bytes-at)]
		if _, err := data.ReadAt(b, at); err != nil {
			return err
		}
		r := x.header
		r.kind, r.seq, r.length, r.offset, r.sum = kindChunk, len(x.chunks), len(b), at, chunk.Sum(b)
		f, l := x.frames()
		r.frames, r.last = f, l.UnixNano()
		at += int64(len(b))
		if at == whole.Bytes {
			r.frames, r.last = max(f, whole.Frames), max(r.last, x.header.start+int64(whole.Last))
		}
		x.chunks = append(x.chunks, r)
	}
	r := x.header
	r.kind, r.seq, r.offset = kindSeal, len(x.chunks), x.size()
	f, l := x.frames()
	r.frames, r.last = f, l.Add(interval).UnixNano()
	x.seal = &r
	return nil
}

// encode returns the index as its file's content.
func (x *index) encode() []byte {
	var out bytes.Buffer
	var b [recordSize]byte
	x.header.put(&b)
	out.Write(b[:])
	for i := range x.chunks {
		x.chunks[i].put(&b)
		out.Write(b[:])
	}
	x.seal.put(&b)
	out.Write(b[:])
	return out.Bytes()
}

// interval is the time between two frames.
func (s *Session) interval() time.Duration {
	return time.Second / time.Duration(max(s.reg.Settings.FrameRate, 1))
}

// renumber moves a segment to the number of one that was lost.
func (s *Session) renumber(g *segment, number int) error {
	if g.state != StateOpen {
		return fmt.Errorf("segment %d has none before it: %w", g.number, ErrDamaged)
	}
	for _, suffix := range []string{"chunks", StateOpen.String()} {
		if err := renameFile(s.path(g.number, suffix), s.path(number, suffix)); err != nil {
			return fmt.Errorf("renumber segment %d: %w", g.number, err)
		}
	}
	g.number = number
	return nil
}

// sealRecovered brings a recovered segment to sealed, with its event, and returns its end. A freed one has long had both.
func (s *Session) sealRecovered(g *segment) (end time.Time, err error) {
	if g.state == StateFreed {
		return end, nil
	}
	b, err := os.ReadFile(s.path(g.number, "chunks"))
	if err != nil {
		return end, err
	}
	x, _, ok := parseIndex(b)
	if !ok || x.seal == nil {
		return end, fmt.Errorf("index: %w", ErrDamaged)
	}
	end = time.Unix(0, x.seal.last)
	if g.state == StateOpen {
		return end, s.finishSeal(g, x.seal.frames, end)
	}
	return end, s.appendSealed(g, x.seal.frames, end)
}
