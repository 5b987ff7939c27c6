package enroll

import "strings"

// matches reports whether a pattern, in which * stands for any text, fits a value.
func matches(pattern, value string) bool {
	head, rest, any := strings.Cut(pattern, "*")
	if !any {
		return pattern == value
	}
	value, ok := strings.CutPrefix(value, head)
	if !ok {
		return false
	}
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(value, part)
		}
		_, after, found := strings.Cut(value, part)
		if !found {
			return false
		}
		value, rest = after, more
	}
}
