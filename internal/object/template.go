package object

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

const (
	// defaultTemplate is a session's folder when the location names no variable.
	defaultTemplate = "{start_date}/{username}/{session_id}/"
	// maxValueBytes bounds what one variable becomes.
	maxValueBytes = 64
	// maxPrefixBytes bounds an expanded template, so that the names of a session's files fit behind it.
	maxPrefixBytes = 600
	// noValue stands for a variable that is empty or that nobody gave.
	noValue = "none"
	// hashMark separates a changed value from the hash that keeps it apart from others.
	hashMark = "-x"
	// hashDigits is how much of the value's SHA-256 follows the mark.
	hashDigits = 16
)

// variables are the names that a template may use, with what they hold.
var variables = map[string]string{ //nolint:gochecknoglobals // a table that is never written
	// The product's own.
	"session_id": "the recording's id; every template must have it",
	"stack":      "AppStream stack",
	"fleet":      "AppStream fleet",
	"instance":   "the recorded machine's id",

	// Of AppStream's environment.
	"app_session_id":   "AppStream_Session_ID",
	"user_access_mode": "AppStream_User_Access_Mode",
	"access_mode":      "how the user was let in, on any platform",
	"reservation_time": "AppStream_Session_Reservation_DateTime",
	"instance_type":    "AppStream_Instance_Type",
	"image_arn":        "AppStream_Image_Arn",
	"region":           "AWS_REGION",

	// Kasm's ten.
	"kasm_id":             "Kasm's id of the session",
	"user_id":             "id of the user",
	"username":            "name of the user",
	"image_id":            "id of the image",
	"image_friendly_name": "name of the image",
	"created_timestamp":   "when the session was made, 2023-12-12 21:12:45.386547",
	"created_date":        "the day of it, 2023-12-09",
	"start_timestamp":     "when the recording began, 2023-12-12 21:12:45.386547",
	"start_date":          "the day of it, 2023-12-09",
	"current_epoch":       "the time of expanding, in milliseconds since 1970",
}

// Variables lists the names that a template may use, sorted.
func Variables() []string {
	names := make([]string, 0, len(variables))
	for name := range variables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Template makes the folder of a session below the location's root. The zero Template is not usable.
type Template struct {
	parts []part
}

// part is a literal piece of a template, or a variable.
type part struct {
	text     string
	variable bool
}

// String is the template as it may be written in a location.
func (t Template) String() string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.variable {
			b.WriteString("{" + p.text + "}")
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// ParseTemplate reads a template such as {start_date}/{username}/{session_id}/. The literal text must be fit for a
// key, and {session_id} must be there, or two sessions would share a folder. Errors wrap ErrLocation.
func ParseTemplate(text string) (Template, error) {
	parts, err := parseParts(strings.TrimSuffix(text, "/") + "/")
	if err != nil {
		return Template{}, err
	}
	t := Template{parts}
	return t, t.check()
}

// parseParts cuts a text into its literals and variables.
func parseParts(text string) (parts []part, err error) {
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, locationError("unbalanced brace: a } without {")
		}
		if literal != "" {
			parts = append(parts, part{text: literal})
		}
		if !found {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(name, "{") {
			return nil, locationError("unbalanced brace: a { without }")
		}
		if variables[name] == "" {
			return nil, locationError("unknown variable {%s}; known: %s", printable(name), strings.Join(Variables(), ", "))
		}
		parts = append(parts, part{text: name, variable: true})
		rest = next
	}
	return parts, nil
}

// check refuses what Expand could not turn into a valid key for every value.
func (t Template) check() error {
	if !slices.Contains(t.parts, part{text: "session_id", variable: true}) {
		return locationError("the folder has no {session_id}: two sessions could share it")
	}
	// The longest that can come out decides.
	var b strings.Builder
	for _, p := range t.parts {
		if p.variable {
			b.WriteString(strings.Repeat("v", maxValueBytes))
		} else {
			b.WriteString(p.text)
		}
	}
	longest := strings.TrimSuffix(b.String(), "/")
	for name := range strings.SplitSeq(longest, "/") {
		if why := badName(name); why != "" {
			return locationError("folder %s has %s", printable(t.String()), why)
		}
	}
	if len(longest) > maxPrefixBytes {
		return locationError("the folder may grow to %d bytes, at most %d", len(longest), maxPrefixBytes)
	}
	if strings.HasSuffix(longest, ".mp4") {
		return locationError("%s names a file; name the folder of a session", printable(t.String()))
	}
	return nil
}

// Expand makes the folder's key prefix, which ends with a slash; prefix + name is a valid key for any name of up to
// 199 bytes that is one. Values are made safe: ASCII letters, digits and - _ . stay, all else becomes _, and a value
// that was changed or cut ends in a hash, so that different values stay different. A variable that is missing from
// vars or empty becomes "none", but for session_id, without which Expand fails.
func (t Template) Expand(vars map[string]string) (string, error) {
	if len(t.parts) == 0 {
		return "", locationError("empty template")
	}
	if vars["session_id"] == "" {
		return "", fmt.Errorf("expand folder %s: session_id is empty", t)
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.variable {
			b.WriteString(safeValue(vars[p.text]))
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String(), nil
}

// safeValue makes a value fit for a part of a key's segment: 1 to maxValueBytes kept bytes that neither start nor end
// with a dot and do not start with a dash. Two different values give two different results unless 64 bits of their SHA-256 agree.
func safeValue(value string) string {
	if value == "" {
		return noValue
	}
	safe := []byte(value)
	for i, c := range safe {
		if !keptByte(c) {
			safe[i] = '_'
		}
	}
	if safe[0] == '.' || safe[0] == '-' { // a name that begins so is hidden, or an option to whoever lists a folder
		safe[0] = '_'
	}
	if last := len(safe) - 1; safe[last] == '.' {
		safe[last] = '_' // a trailing dot is dropped by some file systems
	}
	if string(safe) == value && len(value) <= maxValueBytes && value != noValue && !hasHash(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	const room = maxValueBytes - len(hashMark) - hashDigits
	return string(safe[:min(len(safe), room)]) + hashMark + hex.EncodeToString(sum[:])[:hashDigits]
}

// hasHash reports whether a value looks like one that was changed. Such a value gets a hash of its own, so that
// nobody can pick a name that lands in another one's folder.
func hasHash(value string) bool {
	tail := len(value) - hashDigits
	if tail < len(hashMark) || value[tail-len(hashMark):tail] != hashMark {
		return false
	}
	return strings.Trim(value[tail:], "0123456789abcdef") == ""
}
