package api

import (
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// documentName returns what a file that is of a session as a whole is called in the session's folder; empty for others.
func documentName(file recfleetv1.RecordingFile) string {
	switch file {
	case recfleetv1.RecordingFile_RECORDING_FILE_METADATA:
		return manifest.MetadataName
	case recfleetv1.RecordingFile_RECORDING_FILE_EVENTS:
		return manifest.EventsName
	case recfleetv1.RecordingFile_RECORDING_FILE_MARKER:
		return manifest.MarkerName
	}
	return ""
}

// sendDocument sends a document of the session as it is in the archive now: what it must be says the manifest, to who knows the key.
func (s *recordingService) sendDocument(r *recfleetv1.DownloadRecordingRequest, name string, stream grpc.ServerStreamingServer[recfleetv1.DownloadRecordingResponse]) error {
	ctx := stream.Context()
	session, err := s.catalog.Session(ctx, r.GetSessionId())
	if err != nil {
		return err
	}
	if !told(session) {
		return errNoManifest
	}
	key := session.ArchivePrefix + name
	serve := func() error {
		body, _, err := s.store.Get(ctx, key, r.GetOffset(), -1)
		if errors.Is(err, object.ErrNotFound) {
			return fmt.Errorf("%w: %s", errMissing, key)
		}
		if err != nil {
			return err
		}
		err = send(stream, &recfleetv1.DownloadRecordingResponse{}, body)
		if errors.Is(err, object.ErrDigest) {
			err = fmt.Errorf("%w: %s", errAltered, key)
		}
		return errors.Join(err, body.Close())
	}
	d := deed{sessionDownload, session.ID, r.GetReason()}
	if !r.GetEntireSession() {
		return s.ledger.serve(ctx, d, evidence.Span{}, serve)
	}
	pieces, err := s.pieces(ctx, catalog.Segment{Session: session.ID})
	if err != nil {
		return err
	}
	if len(pieces) == 0 { // its documents are all there is of it
		pieces = []viewing.Piece{{}}
	}
	return s.ledger.cover(ctx, d, pieces, serve)
}
