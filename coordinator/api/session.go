package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// sessionService answers people and scripts about sessions.
type sessionService struct {
	recfleetv1.UnimplementedSessionServiceServer
	catalog  *catalog.Catalog
	sessions *sessions.Sessions
	location object.Location
	ledger   ledger
	logger   hclog.Logger
	deleted  func() // a deletion was ordered
	book     func() *access.Book
	closing  <-chan struct{} // the server ends
	watches  watches
}

// ListSessions returns one page.
func (s *sessionService) ListSessions(ctx context.Context, r *recfleetv1.ListSessionsRequest) (*recfleetv1.ListSessionsResponse, error) {
	if err := checkList(r); err != nil {
		return nil, err
	}
	size := int(r.GetPageSize())
	if size == 0 {
		size = defaultPage
	}
	f := filterFromProto(r)
	f.Scope = access.Visible(ctx)
	page, next, err := s.catalog.ListSessions(ctx, f, size, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListSessionsResponse{NextPageToken: next}
	for _, one := range page {
		answer.Sessions = append(answer.Sessions, sessionToProto(one))
	}
	return answer, nil
}

// GetSession returns one session with all that belongs to it.
func (s *sessionService) GetSession(ctx context.Context, r *recfleetv1.GetSessionRequest) (*recfleetv1.GetSessionResponse, error) {
	if err := sessionID(r.GetSessionId()); err != nil {
		return nil, err
	}
	d, err := s.catalog.Detail(ctx, r.GetSessionId())
	if err != nil {
		return nil, err
	}
	seen := func() error { return nil } // the answer is made, and goes out when it is written down that it does
	if err := s.ledger.cover(ctx, deed{action: sessionView, object: d.Session.ID}, []viewing.Piece{{}}, seen); err != nil {
		return nil, err
	}
	return &recfleetv1.GetSessionResponse{Session: detailToProto(d, s.location)}, nil
}

// StopSession notes the order.
func (s *sessionService) StopSession(ctx context.Context, r *recfleetv1.StopSessionRequest) (*recfleetv1.StopSessionResponse, error) {
	if err := checkStop(r); err != nil {
		return nil, err
	}
	reason := r.GetReason()
	if reason == "" {
		reason = "stopped by an administrator"
	}
	var session catalog.Session
	if err := s.ledger.do(ctx, deed{"session.stop", r.GetSessionId(), reason}, func(ctx context.Context) (err error) {
		session, err = s.sessions.Stop(ctx, r.GetSessionId(), reason)
		return err
	}); err != nil {
		return nil, err
	}
	return &recfleetv1.StopSessionResponse{Session: sessionToProto(session)}, nil
}

// recordingService finds and reads mp4s.
type recordingService struct {
	recfleetv1.UnimplementedRecordingServiceServer
	catalog  *catalog.Catalog
	store    object.Store
	location object.Location
	ledger   ledger
	logger   hclog.Logger
	keys     Keys
	// wanted is called for a segment that somebody waits for.
	wanted func(ctx context.Context, session string, segment int)
}

// pieceBytes is how much of a file goes into one message.
const pieceBytes = 64 << 10

// What was archived and is not there any more, or is something else.
var (
	errMissing = errors.New("object is missing from the archive")
	errAltered = errors.New("object in the archive was altered")
)

// What is read of sessions and recordings, as the audit calls it.
const (
	sessionView       = "session.view"       // all that is known of it
	recordingDownload = "recording.download" // of one segment
	sessionDownload   = "session.download"   // of all there is
	manifestRead      = "manifest.read"
)

// errNotArchived says that a segment has no mp4 yet, or never.
var errNotArchived = errors.New("segment is not archived")

// errNoThumbnails says that an mp4 has none.
var errNoThumbnails = errors.New("recording has no thumbnails")

// ListRecordings returns the mp4s of a session.
func (s *recordingService) ListRecordings(ctx context.Context, r *recfleetv1.ListRecordingsRequest) (*recfleetv1.ListRecordingsResponse, error) {
	if err := checkListRecordings(r); err != nil {
		return nil, err
	}
	size := int(r.GetPageSize())
	if size == 0 {
		size = maxRecordings
	}
	page, next, err := s.catalog.ListRecordings(ctx, r.GetSessionId(), size, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	session, err := s.catalog.Session(ctx, r.GetSessionId())
	if err != nil {
		return nil, err
	}
	if ordered := session.Deletion.Ordered; !ordered.IsZero() {
		return nil, fmt.Errorf("%w: the recordings of session %s were deleted at %s", errPrecondition, session.ID, ordered.UTC().Format(time.RFC3339))
	}
	answer := &recfleetv1.ListRecordingsResponse{NextPageToken: next}
	for _, g := range page {
		answer.Recordings = append(answer.Recordings, recordingToProto(g, s.location))
	}
	return answer, nil
}

// DownloadRecording sends one mp4, an object that goes with it, or a document of the session.
func (s *recordingService) DownloadRecording(r *recfleetv1.DownloadRecordingRequest, stream grpc.ServerStreamingServer[recfleetv1.DownloadRecordingResponse]) error {
	if err := checkDownload(r); err != nil {
		return err
	}
	if name := documentName(r.GetFile()); name != "" {
		return s.sendDocument(r, name, stream)
	}
	ctx := stream.Context()
	g, err := s.catalog.Segment(ctx, r.GetSessionId(), int(r.GetSegment()))
	if err != nil {
		return err
	}
	if g.State != catalog.SegmentArchived {
		s.wanted(ctx, r.GetSessionId(), int(r.GetSegment()))
		return errNotArchived
	}
	file := fileOf(g, r.GetFile())
	if file.Key == "" {
		return errNoThumbnails
	}
	if r.GetOffset() > file.Bytes {
		return fmt.Errorf("offset %d of %d bytes: %w", r.GetOffset(), file.Bytes, object.ErrRange)
	}
	d := deed{recordingDownload, catalog.JobID(g.Session, g.Segment), r.GetReason()}
	if r.GetEntireSession() {
		d = deed{sessionDownload, g.Session, r.GetReason()}
	}
	session, err := s.catalog.Session(ctx, g.Session)
	if err != nil {
		return err
	}
	span := evidence.SpanOf(session.Start, g.Start, g.End)
	body, err := s.open(ctx, r.GetOffset(), g, file)
	if err != nil {
		return s.ledger.refuse(ctx, d, span, err)
	}
	serve := func() error { return s.download(stream, r.GetOffset(), g, file, body) }
	if r.GetEntireSession() {
		pieces, err := s.pieces(ctx, g)
		if err == nil {
			err = s.ledger.cover(ctx, d, pieces, serve)
		}
		return errors.Join(err, body.Close())
	}
	return errors.Join(s.ledger.serve(ctx, d, span, serve), body.Close())
}

// pieces are all that there is of a session to download, the wanted segment among it.
func (s *recordingService) pieces(ctx context.Context, wanted catalog.Segment) ([]viewing.Piece, error) {
	d, err := s.catalog.Detail(ctx, wanted.Session)
	if err != nil {
		return nil, err
	}
	var pieces []viewing.Piece
	for _, g := range append(d.Segments, wanted) {
		if g.State == catalog.SegmentArchived {
			pieces = append(pieces, viewing.Piece{Segment: g.Segment, Span: evidence.SpanOf(d.Session.Start, g.Start, g.End)})
		}
	}
	return pieces, nil
}

// fileOf returns the object of an archived segment that is asked for; the zero one where there is none.
func fileOf(g catalog.Segment, which recfleetv1.RecordingFile) catalog.Object {
	switch r := g.Recording; which {
	case recfleetv1.RecordingFile_RECORDING_FILE_SPRITE:
		return r.Thumbnails.Sprite
	case recfleetv1.RecordingFile_RECORDING_FILE_INDEX:
		return r.Thumbnails.Index
	default:
		return catalog.Object{Key: r.ObjectKey, Version: r.ObjectVersion, Bytes: r.Bytes, SHA256: r.SHA256}
	}
}

// open opens what was archived, from an offset on.
func (s *recordingService) open(ctx context.Context, offset int64, g catalog.Segment, file catalog.Object) (io.ReadCloser, error) {
	if offset == file.Bytes {
		return io.NopCloser(strings.NewReader("")), nil
	}
	body, about, err := s.store.GetVersion(ctx, file.Key, file.Version, offset, -1)
	switch {
	case errors.Is(err, object.ErrNotFound), errors.Is(err, object.ErrRange):
		return nil, s.lost(ctx, g, file, err)
	case err != nil:
		return nil, err
	case about.Bytes != file.Bytes:
		return nil, errors.Join(s.lost(ctx, g, file, fmt.Errorf("%w: %d bytes instead of %d", object.ErrDigest, about.Bytes, file.Bytes)), body.Close())
	}
	return body, nil
}

func (s *recordingService) download(
	stream grpc.ServerStreamingServer[recfleetv1.DownloadRecordingResponse], offset int64, g catalog.Segment, file catalog.Object, body io.Reader,
) error {
	message := &recfleetv1.DownloadRecordingResponse{Recording: recordingToProto(g, s.location)}
	if offset == file.Bytes {
		return stream.Send(message)
	}
	sum := sha256.New()
	err := send(stream, message, io.TeeReader(body, sum))
	switch {
	case errors.Is(err, object.ErrDigest):
		err = s.lost(stream.Context(), g, file, err)
	case err == nil && offset == 0 && !bytes.Equal(sum.Sum(nil), file.SHA256[:]):
		err = s.lost(stream.Context(), g, file, fmt.Errorf("%w: sha256 is not %s", object.ErrDigest, file.SHA256))
	}
	return err
}

// lost says that an object is not what was archived.
func (s *recordingService) lost(ctx context.Context, g catalog.Segment, file catalog.Object, err error) error {
	kind := errAltered
	if errors.Is(err, object.ErrNotFound) {
		kind = errMissing
	}
	if session, getErr := s.catalog.Session(ctx, g.Session); getErr != nil || !session.Deletion.Ordered.IsZero() {
		return fmt.Errorf("%w: %s", kind, file.Key) // it is just being deleted
	}
	s.logger.Error("recording was lost", "session_id", g.Session, "segment", g.Segment, "object_key", file.Key, "version", file.Version, "error", err)
	return fmt.Errorf("%w: %s", kind, file.Key)
}

// send sends the body in pieces, with the first of which goes the message.
func send(stream grpc.ServerStreamingServer[recfleetv1.DownloadRecordingResponse], message *recfleetv1.DownloadRecordingResponse, body io.Reader) error {
	buffer := make([]byte, pieceBytes)
	for {
		n, err := io.ReadFull(body, buffer)
		if n > 0 {
			message.Data = buffer[:n]
			if err := stream.Send(message); err != nil {
				return err
			}
			message = &recfleetv1.DownloadRecordingResponse{}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("read recording: %w", err)
		}
	}
}
