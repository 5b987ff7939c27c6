// Package signer holds the key that manifests and daily digests are signed with, and those that it was before.
//
// What comes in is the key's file and, beside it, the file of statements by which each key was followed by the next. What goes out are
// signatures, and the statements, to the archive. What always holds: a key that no statement leads to is refused where there are
// statements; nothing is signed before the statements up to its key are in the archive; the archive holds at most one statement of each key.
package signer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

// Archive takes the statements; see object.Store.
type Archive interface {
	Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (object.Info, error)
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, object.Info, error)
}

// Signer signs. It may be used by several goroutines.
type Signer struct {
	key  ed25519.PrivateKey
	line []evidence.Succession // those that lead to key, oldest first

	mu        sync.Mutex
	published bool
	later     []evidence.Succession // those that other coordinators have put into the archive since
}

// New returns what signs with a key, to which the line leads.
func New(key ed25519.PrivateKey, line ...evidence.Succession) *Signer {
	return &Signer{key: key, line: line}
}

// Open reads the key's file, and makes it where there is none and none was before. Coordinators that share a catalog share the key and
// its line. The error is ErrKey where they cannot be used.
func Open(path string) (*Signer, error) {
	line, err := readLine(path)
	if err != nil {
		return nil, err
	}
	open := openKey
	if len(line) > 0 {
		open = readKey
	}
	key, err := open(path)
	if err != nil {
		return nil, err
	}
	if line, err = readLine(path); err != nil { // after the key: a change of it writes the line first
		return nil, err
	}
	if line, err = upTo(line, publicOf(key)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	return New(key, line...), nil
}

// Public is the key that is signed with.
func (s *Signer) Public() ed25519.PublicKey { return publicOf(s.key) }

// Line are the statements that lead to the key, oldest first.
func (s *Signer) Line() []evidence.Succession { return slices.Clone(s.line) }

// Sign returns the signature of the content. It puts the statements that lead to the key into the archive first, once.
func (s *Signer) Sign(ctx context.Context, archive Archive, content []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.published {
		if err := s.publish(ctx, archive); err != nil {
			return nil, err
		}
		s.published = true
	}
	return ed25519.Sign(s.key, content), nil
}

func (s *Signer) publish(ctx context.Context, archive Archive) error {
	for _, one := range s.line {
		raw, err := one.Encode()
		if err != nil {
			return err
		}
		_, err = archive.Put(ctx, one.Object(), bytes.NewReader(raw), object.PutOptions{ContentType: "application/json", SHA256: sha256.Sum256(raw)})
		if errors.Is(err, object.ErrExists) {
			return fmt.Errorf("%w: %s in the archive says that another key follows: %w", ErrKey, one.Object(), err)
		}
		if err != nil {
			return fmt.Errorf("write key succession: %w", err)
		}
	}
	return nil
}

// Signed reports whether a signature over these bytes is that of the key, of one before it, or of one that has followed on it in
// another coordinator. The error is that of the archive.
func (s *Signer) Signed(ctx context.Context, archive Archive, content, signature []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if evidence.SignedBy(s.keys(), content, signature) != nil {
		return true, nil
	}
	if len(signature) != ed25519.SignatureSize {
		return false, nil
	}
	if more, err := s.follow(ctx, archive); err != nil || !more {
		return false, err
	}
	return evidence.SignedBy(s.keys(), content, signature) != nil, nil
}

func (s *Signer) keys() []ed25519.PublicKey {
	keys := []ed25519.PublicKey{s.Public()}
	for _, one := range s.line {
		keys = append(keys, one.Previous.Ed25519())
	}
	for _, one := range s.later {
		keys = append(keys, one.Key.Ed25519())
	}
	return keys
}

// maxStatement bounds what is read of one.
const maxStatement = 4 << 10

// follow reads from the archive what follows on the last key known, and reports whether there was something.
func (s *Signer) follow(ctx context.Context, archive Archive) (more bool, err error) {
	last := evidence.PublicKeyOf(s.Public())
	if n := len(s.later); n > 0 {
		last = s.later[n-1].Key
	}
	for len(s.later) < maxLine {
		body, _, err := archive.Get(ctx, evidence.Succession{Previous: last}.Object(), 0, -1)
		if errors.Is(err, object.ErrNotFound) {
			return more, nil
		}
		if err != nil {
			return more, err
		}
		raw, err := io.ReadAll(io.LimitReader(body, maxStatement))
		if err = errors.Join(err, body.Close()); err != nil {
			return more, err
		}
		one, err := evidence.ParseSuccession(raw)
		follows := err == nil && one.Previous == last
		if !follows {
			break // nobody's word; recctl archive verify names it
		}
		s.later, last, more = append(s.later, one), one.Key, true
	}
	return more, nil
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	public, _ := key.Public().(ed25519.PublicKey)
	return public
}
