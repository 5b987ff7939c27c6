package api

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/manifest"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// maxManifest bounds what is read of a manifest; the message it goes into has a bound as well.
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
	if !told(session) {
		return nil, errNoManifest
	}
	addenda, err := s.catalog.Addenda(ctx, session.ID)
	if err != nil {
		return nil, err
	}
	last := 1
	for _, a := range addenda {
		if !a.Written.IsZero() {
			last = a.Number
		}
	}
	answer := &recfleetv1.GetManifestResponse{PublicKey: s.keys.Public()}
	if answer.Successions, err = s.successions(); err != nil {
		return nil, err
	}
	if err := s.ledger.tell(ctx, deed{manifestRead, session.ID, r.GetReason()}, func() error {
		for number := 1; number <= last; number++ {
			one, err := s.signedManifest(ctx, session.ArchivePrefix, number)
			switch {
			case err != nil:
				return err
			case number < last:
				answer.Earlier = append(answer.Earlier, one)
			default:
				answer.Manifest, answer.Signature = one.GetManifest(), one.GetSignature()
			}
		}
		if last == 1 && len(answer.GetManifest()) == 0 {
			return errNoManifest
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return answer, nil
}

// told reports whether the archive has documents of a session. Before it is over, what lies there is nobody's word.
func told(s catalog.Session) bool {
	return s.State.Final() && s.State != catalog.SessionRefused && s.Deletion.Ordered.IsZero()
}

// signedManifest reads the nth manifest of a session. What of it is not there stays empty.
func (s *recordingService) signedManifest(ctx context.Context, folder string, number int) (*recfleetv1.SignedManifest, error) {
	var one recfleetv1.SignedManifest
	for name, into := range map[string]*[]byte{manifest.NameOf(number): &one.Manifest, manifest.SignatureNameOf(number): &one.Signature} {
		raw, err := s.document(ctx, folder+name)
		if err != nil && !errors.Is(err, errNoManifest) {
			return nil, err
		}
		*into = raw
	}
	return &one, nil
}

// Keys are those that manifests are signed with; see signer.Signer.
type Keys interface {
	Public() ed25519.PublicKey
	Line() []evidence.Succession
}

// successions are the statements that lead to the present key.
func (s *recordingService) successions() (all [][]byte, err error) {
	for _, one := range s.keys.Line() {
		raw, err := one.Encode()
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

// GetManifestKey returns the public key, and the statements that lead to it.
func (s *recordingService) GetManifestKey(context.Context, *recfleetv1.GetManifestKeyRequest) (*recfleetv1.GetManifestKeyResponse, error) {
	line, err := s.successions()
	if err != nil {
		return nil, err
	}
	return &recfleetv1.GetManifestKeyResponse{PublicKey: s.keys.Public(), Successions: line}, nil
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
