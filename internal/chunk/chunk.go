// Package chunk holds the numbered pieces in which a segment travels over the bus, and the hash chain that ties them to
// their session.
//
// A segment's stream is cut into chunks of at most MaxPayload bytes, numbered from 0. Every chunk carries the SHA-256 of
// its bytes and the chain hash after it; the chain starts from the session id and runs on from segment to segment, so that
// a chunk that is missing, exchanged or from elsewhere breaks it.
package chunk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

// MaxPayload is the largest number of bytes in a chunk.
const MaxPayload = 256 << 10

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// String returns the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Next returns the chain hash after a chunk whose payload has the given sum, h being the chain hash before it.
func (h Hash) Next(sum Hash) Hash {
	var both [2 * sha256.Size]byte
	copy(both[:], h[:])
	copy(both[sha256.Size:], sum[:])
	return sha256.Sum256(both[:])
}

// Genesis returns the chain hash before the first chunk of a session.
func Genesis(session string) Hash { return sha256.Sum256([]byte(session)) }

// Sum returns the hash of a chunk's payload.
func Sum(payload []byte) Hash { return sha256.Sum256(payload) }

// ParseHash returns b as a hash. It fails unless b is 32 bytes long.
func ParseHash(b []byte) (Hash, error) {
	if len(b) != sha256.Size {
		return Hash{}, fmt.Errorf("parse hash: %d bytes instead of %d", len(b), sha256.Size)
	}
	return Hash(b), nil
}

// Chunk is one piece of a segment, with what the coordinator must know of it when it sees only headers.
type Chunk struct {
	Session string
	Segment int // from 1 in the session
	Seq     int // from 0 in the segment
	Epoch   int // from 1 in the session
	Offset  int64
	Sum     Hash // of Payload
	Chain   Hash // after this chunk

	// Frames is the number of whole frames of the segment that end at or before the end of this chunk.
	Frames int64
	// Start and LastFrame are the times of the segment's first frame and of the last of Frames, on the session's time line.
	Start, LastFrame time.Time
	Width, Height    int

	// Bytes is len(Payload), known also where only headers were read.
	Bytes   int
	Payload []byte
}

var sessionID = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// ValidSession reports whether id can name a session. Only such ids are safe in subjects, stream names and credentials.
func ValidSession(id string) bool { return sessionID.MatchString(id) }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the form that String writes.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != sha256.Size || len(text)%2 != 0 {
		return fmt.Errorf("parse hash: %d characters instead of %d", len(text), hex.EncodedLen(sha256.Size))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("parse hash: %w", err)
	}
	return nil
}
