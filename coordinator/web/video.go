package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/object"
)

// video serves the mp4 of a segment, whole or by range, for the player.
func (p *page) video(w http.ResponseWriter, r *http.Request) {
	p.recording(w, r, "inline", recordingPlay, p.audited.play)
}

// download serves the same to be kept.
func (p *page) download(w http.ResponseWriter, r *http.Request) {
	p.recording(w, r, "attachment", recordingDownload, p.audited.download)
}

// recording serves an mp4 under a name fit for a file, once it is written down that it does.
func (p *page) recording(w http.ResponseWriter, r *http.Request, disposition, action string, note noting) {
	detail, ok := p.detail(w, r)
	if !ok {
		return
	}
	n, err := strconv.Atoi(r.PathValue("number"))
	at := slices.IndexFunc(detail.Segments, func(s catalog.Segment) bool { return s.Segment == n && s.State == catalog.SegmentArchived })
	if err != nil || at < 0 {
		p.fail(w, r, http.StatusNotFound)
		return
	}
	segment := detail.Segments[at]
	recording := segment.Recording
	if err := note(r, detail.Session, segment); err != nil {
		p.cfg.Logger.Error("recording was not served, it cannot be audited", "session_id", detail.Session.ID, "segment", n, "error", err)
		p.fail(w, r, http.StatusServiceUnavailable)
		return
	}
	file := &objectFile{ctx: r.Context, objects: p.cfg.Objects, key: recording.ObjectKey, version: recording.ObjectVersion, size: recording.Bytes}
	defer file.Close()
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Disposition", fmt.Sprintf("%s; filename=\"%s-%06d.mp4\"", disposition, detail.Session.ID, n))
	w.Header().Set("ETag", `"`+recording.SHA256.String()+`"`)
	http.ServeContent(w, r, "", segment.End, file)
	if file.failed != nil && r.Context().Err() == nil {
		p.audited.failed(r, action, detail.Session, segment)
		p.cfg.Logger.Warn("recording was not served to its end", "session_id", detail.Session.ID, "segment", n, "error", file.failed)
	}
}

// objectFile reads an object as http.ServeContent wants it: seek, then read on. The object is opened at the first read
// after a seek.
type objectFile struct {
	ctx     func() context.Context
	objects Objects
	key     string
	version string // the one that was committed, whatever was put over it since
	size    int64

	at     int64
	body   io.ReadCloser
	failed error
}

func (f *objectFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the recording")
	}
	if offset != f.at {
		f.Close()
	}
	f.at = offset
	return offset, nil
}

func (f *objectFile) Read(b []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	if f.body == nil {
		body, about, err := f.objects.GetVersion(f.ctx(), f.key, f.version, f.at, -1)
		if err == nil && about.Bytes != f.size {
			body.Close()
			err = fmt.Errorf("%w: %d bytes instead of %d", object.ErrDigest, about.Bytes, f.size)
		}
		if err != nil {
			f.failed = err
			return 0, err
		}
		f.body = body
	}
	n, err := f.body.Read(b)
	f.at += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		f.failed = err
	}
	return n, err
}

// Close ends the present read.
func (f *objectFile) Close() {
	if f.body != nil {
		f.body.Close()
		f.body = nil
	}
}
