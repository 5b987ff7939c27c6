package object

import (
	"net/url"
	"slices"
	"strings"
)

const (
	// tagOption begins the name of a location's option that sets a tag.
	tagOption = "tag."
	// S3's limits.
	maxTags     = 10
	maxTagName  = 128
	maxTagValue = 256
)

// Tag is a name and a value, in which variables of the location's template stand for what an object's key has in their place.
type Tag struct {
	Name  string
	parts []part
}

// Value is the value as it may be written in a location.
func (t Tag) Value() string { return Template{t.parts}.String() }

// parseTag reads the option tag.NAME=VALUE, its name without the first part.
func parseTag(name, value string) (Tag, error) {
	switch {
	case name == "" || len(name) > maxTagName:
		return Tag{}, locationError("a tag's name has 1 to %d characters", maxTagName)
	case strings.HasPrefix(strings.ToLower(name), "aws:"):
		return Tag{}, locationError("tag %s: names that start with aws: are AWS's own", printable(name))
	case strings.ContainsFunc(name, notTagged):
		return Tag{}, locationError("tag %s: its name may have letters, digits and + - = . _ : / @", printable(name))
	}
	parts, err := parseParts(value)
	if err != nil {
		return Tag{}, err
	}
	longest := 0
	for _, p := range parts {
		switch {
		case p.variable:
			longest += maxValueBytes
		case strings.ContainsFunc(p.text, notTagged):
			return Tag{}, locationError("tag %s: its value may have letters, digits and + - = . _ : / @", printable(name))
		default:
			longest += len(p.text)
		}
	}
	if longest > maxTagValue {
		return Tag{}, locationError("tag %s: its value may grow to %d characters, at most %d", printable(name), longest, maxTagValue)
	}
	return Tag{Name: name, parts: parts}, nil
}

// notTagged reports whether a character may not be in a tag. S3 allows more, but not every service the same.
func notTagged(r rune) bool {
	return r > 0x7f || !keptByte(byte(r)) && !strings.ContainsRune("+=:/@", r)
}

// check refuses a variable whose value cannot be read from a key.
func (t Tag) check(folder Template) error {
	for _, p := range t.parts {
		if p.variable && !slices.Contains(folder.readable(), p.text) {
			return locationError("tag %s: {%s} is not a folder of its own in %s", printable(t.Name), p.text, printable(folder.String()))
		}
	}
	return nil
}

// tagging writes tags as a request has them.
func tagging(tags []Tag, values map[string]string) string {
	all := url.Values{}
	for _, t := range tags {
		var b strings.Builder
		for _, p := range t.parts {
			switch {
			case !p.variable:
				b.WriteString(p.text)
			case values[p.text] == "":
				b.WriteString(noValue)
			default:
				b.WriteString(values[p.text])
			}
		}
		all.Set(t.Name, b.String())
	}
	return all.Encode()
}

// folders are the template's parts, one list for each segment of a key.
func (t Template) folders() [][]part {
	folders := [][]part{nil}
	for _, p := range t.parts {
		if p.variable {
			folders[len(folders)-1] = append(folders[len(folders)-1], p)
			continue
		}
		for i, text := range strings.Split(p.text, "/") {
			if i > 0 {
				folders = append(folders, nil)
			}
			if text != "" {
				folders[len(folders)-1] = append(folders[len(folders)-1], part{text: text})
			}
		}
	}
	return folders[:len(folders)-1] // it ends with a slash
}

// only returns the one variable of a folder, and what stands before and behind it.
func only(folder []part) (name, before, behind string, ok bool) {
	for _, p := range folder {
		switch {
		case p.variable && name != "":
			return "", "", "", false
		case p.variable:
			name = p.text
		case name == "":
			before += p.text
		default:
			behind += p.text
		}
	}
	return name, before, behind, name != ""
}

// readable are the variables whose values can be read back from a key: those that are alone in their folder.
func (t Template) readable() []string {
	var names []string
	for _, folder := range t.folders() {
		if name, _, _, ok := only(folder); ok {
			names = append(names, name)
		}
	}
	return names
}

// values reads the variables back from the key of a file in a session's folder, as Expand wrote them.
func (t Template) values(key string) map[string]string {
	values := map[string]string{}
	names := strings.Split(key, "/")
	for i, folder := range t.folders() {
		if i >= len(names)-1 {
			break
		}
		name, before, behind, ok := only(folder)
		if !ok || len(names[i]) < len(before)+len(behind) || !strings.HasPrefix(names[i], before) || !strings.HasSuffix(names[i], behind) {
			continue
		}
		values[name] = names[i][len(before) : len(names[i])-len(behind)]
	}
	return values
}
