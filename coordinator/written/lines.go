package written

import (
	"strconv"
	"strings"
)

// mark is a key or an item of a list as it stands in the source.
type mark struct {
	line, column int
	key          string // of an item: empty
	item         bool
}

// marks finds the keys and items of YAML in block style, and of JSON that has one of them in a line. It is for telling a
// person where to look: what stands in one line with others is found only as part of it.
func marks(source string) []mark {
	var found []mark
	skip := -1 // lines that are further right belong to a text
	for n, line := range strings.Split(source, "\n") {
		line = strings.TrimRight(line, " \r\t")
		rest := strings.TrimLeft(line, " \t")
		column := len(line) - len(rest)
		if rest == "" || rest[0] == '#' {
			continue
		}
		if skip >= 0 && column > skip {
			continue
		}
		skip = -1
		if (rest[0] == '{' || rest[0] == '[') && len(found) > 0 { // not the whole document's
			found = append(found, mark{line: n + 1, column: column, item: true})
			column, rest = column+1, rest[1:]
		}
		for rest == "-" || strings.HasPrefix(rest, "- ") {
			found = append(found, mark{line: n + 1, column: column, item: true})
			after := strings.TrimLeft(rest[1:], " ")
			column += len(rest) - len(after)
			rest = after
		}
		if key, ok := keyOf(rest); ok {
			found = append(found, mark{line: n + 1, column: column, key: key})
			if last := rest[strings.LastIndexByte(rest, ' ')+1:]; last != "" && (last[0] == '|' || last[0] == '>') {
				skip = column
			}
		}
	}
	return found
}

// keyOf returns the key that a line begins with.
func keyOf(line string) (string, bool) {
	line = strings.TrimLeft(line, "{[ ")
	if line == "" {
		return "", false
	}
	if q := line[0]; q == '"' || q == '\'' {
		end := strings.IndexByte(line[1:], q)
		if end < 0 || !strings.HasPrefix(strings.TrimLeft(line[end+2:], " "), ":") {
			return "", false
		}
		return line[1 : end+1], true
	}
	key, after, ok := strings.Cut(line, ":")
	if !ok || after != "" && after[0] != ' ' {
		return "", false
	}
	return strings.TrimSpace(key), true
}

// lineOf returns the line at which a path begins or, where it is not found, what is nearest above it; 0 where nothing is.
func lineOf(found []mark, path []string) int {
	line := 0
	for _, step := range path {
		at := child(found, step)
		if at < 0 {
			return line
		}
		line = found[at].line
		found = inside(found, at)
	}
	return line
}

// child returns where, among the marks of one block, a key or the nth item is; -1 where it is not.
func child(found []mark, step string) int {
	if len(found) == 0 {
		return -1
	}
	column, items := found[0].column, -1
	for i, m := range found {
		switch {
		case m.column != column:
		case m.item:
			items++
			if strconv.Itoa(items) == step {
				return i
			}
		case m.key == step:
			return i
		}
	}
	return -1
}

// inside returns the marks of what belongs to a mark. The items of a key's list may stand in the key's own column.
func inside(found []mark, at int) []mark {
	parent := found[at]
	for i, m := range found[at+1:] {
		sameColumn := m.column == parent.column && (parent.item || !m.item)
		if m.column < parent.column || sameColumn {
			return found[at+1 : at+1+i]
		}
	}
	return found[at+1:]
}
