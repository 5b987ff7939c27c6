package catalog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

const maxPageToken = 512

// fingerprint is the same for the same text.
func fingerprint(format string, args ...any) string {
	h := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return hex.EncodeToString(h[:8])
}

// writeToken makes a page token of a struct of strings and numbers.
func writeToken(t any) string {
	b, err := json.Marshal(t)
	if err != nil {
		return "" // strings and numbers marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// readToken reads what writeToken made; it is false for anything else.
func readToken(token string, into any) bool {
	if len(token) > maxPageToken {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	return err == nil && json.Unmarshal(b, into) == nil
}
