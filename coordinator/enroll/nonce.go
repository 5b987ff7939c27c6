package enroll

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

const (
	nonceLife = time.Minute
	// Coordinators' clocks may differ by this much.
	nonceSkew = 5 * time.Second

	nonceRandom = 16
	nonceSum    = sha256.Size
	nonceBytes  = 8 + nonceRandom + nonceSum
)

// nonces are known by their sum: nothing is kept of one before it is used, so that asking for many costs nobody's disk.
type nonces struct{ key []byte }

// make returns a nonce that is good for a minute.
func (n nonces) make(now time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, nonceBytes), uint64(now.Unix()))
	b = b[:8+nonceRandom]
	_, _ = rand.Read(b[8:]) // never fails
	return base64.RawURLEncoding.EncodeToString(append(b, n.sum(b)...))
}

// check is false unless the nonce was made here, or by another coordinator of the same authority, within the last minute. Whether
// it was used is for whoever spends it.
func (n nonces) check(text string, now time.Time) (catalog.Nonce, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The decoder passes over line feeds: a nonce has one form, or it could be spent again in another.
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != text || len(b) != nonceBytes || !hmac.Equal(b[8+nonceRandom:], n.sum(b[:8+nonceRandom])) {
		return catalog.Nonce{}, false
	}
	made := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	expires := made.Add(nonceLife)
	ok := !now.Before(made.Add(-nonceSkew)) && now.Before(expires)
	// It is remembered for longer than any coordinator takes it.
	return catalog.Nonce{Text: text, Expires: expires.Add(2 * nonceSkew)}, ok
}

func (n nonces) sum(b []byte) []byte {
	h := hmac.New(sha256.New, n.key)
	h.Write(b)
	return h.Sum(nil)
}
