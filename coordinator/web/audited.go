package web

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/evidence"
)

// noteTime is what writing a record may take.
const noteTime = 20 * time.Second

// What visitors read, as the audit calls it.
const (
	sessionLook       = "session.view"
	recordingPlay     = "recording.play"
	recordingPreview  = "recording.preview"
	recordingDownload = "recording.download"
)

// noting writes down that a segment is about to be served. Where it fails nothing may be served.
type noting func(r *http.Request, s catalog.Session, g catalog.Segment) error

// audited writes down what visitors read of recordings.
type audited struct {
	audit    viewing.Auditor
	viewings *viewing.Book
}

func newAudited(audit Audit) audited {
	return audited{audit, viewing.New(audit, time.Now)}
}

// look notes that a session is looked at: once in a viewing, however often its page is loaded.
func (a audited) look(r *http.Request, s catalog.Session) error {
	return a.cover(r, sessionLook, s, viewing.Piece{})
}

// play notes that a segment is watched: once for all ranges of it in a viewing. The record names the whole segment, because a
// player asks for bytes and not for seconds.
func (a audited) play(r *http.Request, s catalog.Session, g catalog.Segment) error {
	return a.cover(r, recordingPlay, s, viewing.Piece{Segment: g.Segment, Span: evidence.SpanOf(s.Start, g.Start, g.End)})
}

// preview notes that a segment's thumbnails are seen: once in a viewing.
func (a audited) preview(r *http.Request, s catalog.Session, g catalog.Segment) error {
	return a.cover(r, recordingPreview, s, viewing.Piece{Segment: g.Segment, Span: evidence.SpanOf(s.Start, g.Start, g.End)})
}

func (a audited) cover(r *http.Request, action string, s catalog.Session, piece viewing.Piece) error {
	ctx, cancel := context.WithTimeout(r.Context(), noteTime)
	defer cancel()
	who := access.Caller(r.Context())
	v := viewing.Viewing{Action: action, Session: s.ID, Who: who.Name, Auth: string(who.By), From: from(r), Reason: access.Reason(r.Context())}
	return a.viewings.Cover(ctx, v, piece)
}

// download notes each request for a segment that is to be kept.
func (a audited) download(r *http.Request, s catalog.Session, g catalog.Segment) error {
	return a.append(r.Context(), r, recordingDownload, s, g, "ok")
}

// failed notes that what was noted before was not served to its end.
func (a audited) failed(r *http.Request, action string, s catalog.Session, g catalog.Segment) {
	_ = a.append(context.WithoutCancel(r.Context()), r, action, s, g, "unavailable") // the log has said it
}

func (a audited) append(ctx context.Context, r *http.Request, action string, s catalog.Session, g catalog.Segment, result string) error {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	who := access.Caller(r.Context())
	_, err := a.audit.AppendAudit(ctx, catalog.AuditRecord{
		Time: time.Now(), Who: who.Name, Auth: string(who.By), Action: action, Object: catalog.JobID(s.ID, g.Segment),
		Span: evidence.SpanOf(s.Start, g.Start, g.End), Reason: access.Reason(r.Context()), Result: result, From: from(r),
	})
	return err
}

// from is the host that a request came from.
func from(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
