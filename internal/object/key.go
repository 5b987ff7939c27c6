package object

import (
	"fmt"
	"strings"
)

const (
	// MaxKeyBytes bounds a key; with the longest root prefix it stays within the 1,024 bytes of S3.
	MaxKeyBytes = 800
	// maxNameBytes bounds one segment of a key; with the suffix of its sidecar it stays within the 255 of a file name.
	maxNameBytes = 200
)

// ValidKey says whether a key may name an object: segments joined by single slashes, each of ASCII letters, digits
// and - _ . =, none starting with a dot, at most 200 bytes a segment and 800 in all. The error wraps ErrKey.
func ValidKey(key string) error {
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrKey, len(key), MaxKeyBytes)
	}
	for name := range strings.SplitSeq(key, "/") {
		if why := badName(name); why != "" {
			return fmt.Errorf("%w: %q: %s", ErrKey, key, why)
		}
	}
	return nil
}

// validPrefix is ValidKey for the beginning of a key: it may be empty or end with a slash.
func validPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return ValidKey(strings.TrimSuffix(prefix, "/"))
}

// badName says what is wrong with one segment of a key, or nothing.
func badName(name string) string {
	switch {
	case name == "":
		return "an empty segment"
	case name[0] == '.':
		return "a segment that starts with a dot"
	case len(name) > maxNameBytes:
		return fmt.Sprintf("a segment of more than %d bytes", maxNameBytes)
	}
	for i := range len(name) {
		if !keptByte(name[i]) && name[i] != '=' {
			return fmt.Sprintf("character %q", name[i])
		}
	}
	return ""
}

// keptByte reports whether a byte of a template value goes into a key as it is.
func keptByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c == '-' || c == '_' || c == '.'
}
