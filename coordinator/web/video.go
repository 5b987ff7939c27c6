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

// media is something of a segment that is in the archive.
type media struct {
	action string // as the audit calls it
	note   noting
	object func(r catalog.Recording) catalog.Object // without a key where there is none
	// What the browser is told of it.
	contentType, disposition, extension string
}

func mp4(r catalog.Recording) catalog.Object {
	return catalog.Object{Key: r.ObjectKey, Version: r.ObjectVersion, Bytes: r.Bytes, SHA256: r.SHA256}
}

// video serves the mp4 of a segment, whole or by range, for the player.
func (p *page) video(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, media{recordingPlay, p.audited.play, mp4, "video/mp4", "inline", "mp4"})
}

// download serves the same to be kept.
func (p *page) download(w http.ResponseWriter, r *http.Request) {
	p.serve(w, r, media{recordingDownload, p.audited.download, mp4, "video/mp4", "attachment", "mp4"})
}

// sprite serves a segment's thumbnails, all in one picture.
func (p *page) sprite(w http.ResponseWriter, r *http.Request) {
	sprite := func(r catalog.Recording) catalog.Object { return r.Thumbnails.Sprite }
	p.serve(w, r, media{recordingPreview, p.audited.preview, sprite, "image/jpeg", "inline", "jpg"})
}

// thumbnails serves where they are in the sprite, and from when on each stands.
func (p *page) thumbnails(w http.ResponseWriter, r *http.Request) {
	index := func(r catalog.Recording) catalog.Object { return r.Thumbnails.Index }
	p.serve(w, r, media{recordingPreview, p.audited.preview, index, "text/vtt; charset=utf-8", "inline", "vtt"})
}

// serve serves an object under a name fit for a file, once it is written down that it does.
func (p *page) serve(w http.ResponseWriter, r *http.Request, m media) {
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
	object := m.object(segment.Recording)
	if object.Key == "" {
		p.fail(w, r, http.StatusNotFound)
		return
	}
	if err := m.note(r, detail.Session, segment); err != nil {
		p.cfg.Logger.Error("recording was not served, it cannot be audited", "session_id", detail.Session.ID, "segment", n, "error", err)
		p.fail(w, r, http.StatusServiceUnavailable)
		return
	}
	name := fmt.Sprintf("%s; filename=\"%s-%06d.%s\"", m.disposition, detail.Session.ID, n, m.extension)
	if p.cfg.Links != nil && m.extension == "mp4" {
		p.lead(w, r, m, detail.Session, segment, name)
		return
	}
	file := &objectFile{ctx: r.Context, objects: p.cfg.Objects, key: object.Key, version: object.Version, size: object.Bytes}
	defer file.Close()
	w.Header().Set("Content-Type", m.contentType)
	w.Header().Set("Content-Disposition", name)
	w.Header().Set("ETag", `"`+object.SHA256.String()+`"`)
	http.ServeContent(w, r, "", segment.End, file)
	if file.failed != nil && r.Context().Err() == nil {
		p.audited.failed(r, m.action, detail.Session, segment)
		p.cfg.Logger.Warn("recording was not served to its end", "session_id", detail.Session.ID, "segment", n, "error", file.failed)
	}
}

// lead sends the browser to the archive for an mp4. The link is in the answer's Location alone: whoever has it may read.
func (p *page) lead(w http.ResponseWriter, r *http.Request, m media, s catalog.Session, g catalog.Segment, name string) {
	object, options := m.object(g.Recording), object.LinkOptions{ContentType: m.contentType, Disposition: name}
	link, err := p.cfg.Links.Link(r.Context(), object.Key, object.Version, options)
	if err != nil {
		p.audited.failed(r, m.action, s, g)
		p.cfg.Logger.Warn("link was not made", "session_id", s.ID, "segment", g.Segment, "error", err)
		p.fail(w, r, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Location", link)
	w.WriteHeader(http.StatusSeeOther)
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
