package platform

import "strings"

// Value is one assignment.
type Value struct{ Name, Text string }

// Parse reads the plain assignments of a shell file: NAME=VALUE, with "export" or "declare -x" before it or without, in any
// quotes. Nothing is expanded or run; a statement that needs a shell to be understood is left out and counted.
func Parse(b []byte) (values []Value, left int) {
	p := parser{rest: string(b)}
	for p.rest != "" {
		words, plain := p.statement()
		if len(words) == 0 && plain {
			continue
		}
		found, ok := assignments(words)
		if !plain || !ok {
			left++
			continue
		}
		values = append(values, found...)
	}
	return values, left
}

// word is one of a statement; name is the part before an unquoted "=", if that is a variable's name.
type word struct {
	name, text string
	assigns    bool
}

// assignments returns what a statement assigns; false where it does anything else.
func assignments(words []word) ([]Value, bool) {
	exports := false
	if len(words) > 0 && !words[0].assigns {
		switch words[0].text {
		case "export", "readonly":
			words, exports = words[1:], true
		case "declare", "typeset":
			words, exports = words[1:], true
			for len(words) > 0 && strings.HasPrefix(words[0].text, "-") {
				words = words[1:]
			}
		}
	}
	var found []Value
	for _, w := range words {
		switch {
		case w.assigns:
			found = append(found, Value{w.name, w.text})
		case !exports || !isName(w.text): // "export NAME" only passes on what was assigned
			return nil, false
		}
	}
	return found, true
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

type parser struct{ rest string }

// statement takes one statement and its end; false where it is not plain.
func (p *parser) statement() (words []word, plain bool) {
	plain = true
	for p.rest != "" {
		switch c := p.rest[0]; {
		case c == '\n' || c == ';':
			p.rest = p.rest[1:]
			return words, plain
		case c == ' ' || c == '\t' || c == '\r':
			p.rest = p.rest[1:]
		case strings.HasPrefix(p.rest, "\\\n"):
			p.rest = p.rest[2:]
		case c == '#':
			p.rest = p.rest[lineEnd(p.rest):]
		default:
			w, ok := p.word()
			plain = plain && ok
			words = append(words, w)
		}
	}
	return words, plain
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// word takes one word; false where it is not plain.
func (p *parser) word() (w word, plain bool) {
	var text strings.Builder
	plain = true
	quoted := false
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case strings.IndexByte(" \t\r\n;", c) >= 0:
			w.text = text.String()
			return w, plain
		case c == '\'':
			end := strings.IndexByte(p.rest[1:], '\'')
			if end < 0 {
				p.rest = ""
				return w, false
			}
			text.WriteString(p.rest[1 : 1+end])
			p.rest, quoted = p.rest[end+2:], true
			continue
		case c == '"':
			plain = p.quotes(&text) && plain
			quoted = true
			continue
		case c == '\\':
			if len(p.rest) > 1 && p.rest[1] != '\n' {
				text.WriteByte(p.rest[1])
			}
			p.rest, quoted = p.rest[min(2, len(p.rest)):], true
			continue
		case c == '=' && !w.assigns && !quoted && isName(text.String()):
			w.name, w.assigns = text.String(), true
			text.Reset()
		case strings.IndexByte("$`&|<>(){}*?[]!", c) >= 0, c == '~' && text.Len() == 0:
			plain = false
		default:
			text.WriteByte(c)
		}
		p.rest = p.rest[1:]
	}
	w.text = text.String()
	return w, plain
}

// quotes takes a string in double quotes; false where a shell would expand something in it, or it has no end.
func (p *parser) quotes(text *strings.Builder) bool {
	plain := true
	p.rest = p.rest[1:]
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case c == '"':
			p.rest = p.rest[1:]
			return plain
		case c == '\\' && len(p.rest) > 1 && strings.IndexByte("\\\"$`\n", p.rest[1]) >= 0:
			if p.rest[1] != '\n' {
				text.WriteByte(p.rest[1])
			}
			p.rest = p.rest[1:]
		case c == '$' || c == '`':
			plain = false
		default:
			text.WriteByte(c)
		}
		p.rest = p.rest[1:]
	}
	return false
}
