package api

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// maxManifest bounds what is read of a manifest; it must fit into a message.
const maxManifest = maxMessage - 64<<10

// errNoManifest says that a session has no manifest, or not yet.
var errNoManifest = errors.New("session has no manifest")

// GetManifest returns the documents as they are in the archive.
func (s *recordingService) GetManifest(ctx context.Context, r *recfleetv1.GetManifestRequest) (*recfleetv1.GetManifestResponse, error) {
	if err := checkOrder(r.GetSessionId(), r.GetReason()); err != nil {
		return nil, err
	}
	session, err := s.catalog.Session(ctx, r.GetSessionId())
	if err != nil {
		return nil, err
	}
	// Before that, what lies there is nobody's word.
	if !session.State.Final() || session.State == catalog.SessionRefused || !session.Deletion.Ordered.IsZero() {
		return nil, errNoManifest
	}
	answer := &recfleetv1.GetManifestResponse{PublicKey: s.publicKey}
	if err := s.ledger.tell(ctx, deed{manifestRead, session.ID, r.GetReason()}, func() (err error) {
		if answer.Manifest, err = s.document(ctx, session.ArchivePrefix+manifest.Name); err != nil {
			return err
		}
		if answer.Signature, err = s.document(ctx, session.ArchivePrefix+manifest.SignatureName); errors.Is(err, errNoManifest) {
			err = nil
		}
		return err
	}); err != nil {
		return nil, err
	}
	return answer, nil
}

// GetManifestKey returns the public key.
func (s *recordingService) GetManifestKey(context.Context, *recfleetv1.GetManifestKeyRequest) (*recfleetv1.GetManifestKeyResponse, error) {
	return &recfleetv1.GetManifestKeyResponse{PublicKey: s.publicKey}, nil
}

// document reads a small object.
func (s *recordingService) document(ctx context.Context, key string) ([]byte, error) {
	body, info, err := s.store.Get(ctx, key, 0, -1)
	if errors.Is(err, object.ErrNotFound) {
		return nil, errNoManifest
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if info.Bytes > maxManifest {
		return nil, fmt.Errorf("read %s: %d bytes are too many", key, info.Bytes)
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxManifest))
	if errors.Is(err, object.ErrDigest) {
		return nil, fmt.Errorf("%w: %s", errAltered, key)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return raw, nil
}
