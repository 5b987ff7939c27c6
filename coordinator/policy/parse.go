package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// document is a policy file as it is written; the schema holds what each field may be.
type document struct {
	Format    int                 `json:"format"`
	Version   json.RawMessage     `json:"version"`
	Groups    map[string]patterns `json:"groups"`
	Defaults  settings            `json:"defaults"`
	Rules     []writtenRule       `json:"rules"`
	AppStream writtenAppStream    `json:"appstream"`
}

type writtenRule struct {
	Name  string       `json:"name"`
	Match writtenMatch `json:"match"`
	settings
}

type writtenMatch struct {
	Stack    patterns            `json:"stack"`
	Fleet    patterns            `json:"fleet"`
	User     patterns            `json:"user"`
	Group    patterns            `json:"group"`
	Instance patterns            `json:"instance"`
	Metadata map[string]patterns `json:"metadata"`
}

type settings struct {
	Record        *bool    `json:"record"`
	Reason        string   `json:"reason"`
	Mode          string   `json:"mode"`
	Grace         string   `json:"grace"`
	FrameRate     int      `json:"frame_rate"`
	SegmentLength string   `json:"segment_length"`
	Encode        encode   `json:"encode"`
	Pool          string   `json:"pool"`
	Retention     string   `json:"retention"`
	Notice        *string  `json:"notice"`
	Activity      []string `json:"activity"`
	Enforce       string   `json:"enforce"`
}

type encode struct {
	CRF       *int   `json:"crf"`
	Bitrate   string `json:"bitrate"`
	Preset    string `json:"preset"`
	FrameRate int    `json:"frame_rate"`
	MaxWidth  int    `json:"max_width"`
	MaxHeight int    `json:"max_height"`
}

type writtenAppStream struct {
	Region      string         `json:"region"`
	Endpoint    string         `json:"endpoint"`
	ExpireAfter string         `json:"expire_after"`
	AlarmAfter  string         `json:"alarm_after"`
	Watch       []writtenFleet `json:"watch"`
}

type writtenFleet struct {
	Stack          string   `json:"stack"`
	Fleet          string   `json:"fleet"`
	Authentication []string `json:"authentication"`
}

// UnmarshalJSON takes one pattern or a list.
func (p *patterns) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*p = patterns{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(p))
}

// Parse reads a policy in YAML or JSON. The error is Errors where the policy is at fault.
func Parse(raw []byte) (*Policy, error) {
	if len(raw) > maxFile {
		return nil, Errors{{Text: fmt.Sprintf("is larger than %d bytes", maxFile)}}
	}
	if line := secondDocument(raw); line > 0 {
		return nil, Errors{{Line: line, Text: "a second document begins here; only one is read"}}
	}
	plain, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, syntax(err)
	}
	content, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		return nil, syntax(err)
	}
	problems, err := checkSchema(content)
	if err != nil {
		return nil, err
	}
	at := marks(string(raw))
	if len(problems) > 0 {
		return nil, located(at, problems)
	}
	var d document
	fields := json.NewDecoder(bytes.NewReader(plain))
	fields.DisallowUnknownFields()
	if err := fields.Decode(&d); err != nil {
		return nil, syntax(err)
	}
	p, problems := d.compile()
	if len(problems) > 0 {
		return nil, located(at, problems)
	}
	sum := sha256.Sum256(raw)
	p.hash = hex.EncodeToString(sum[:])
	return p, nil
}

// secondDocument returns the line at which one begins, 0 where there is none.
func secondDocument(raw []byte) int {
	content := false
	for n, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimRight(line, " \r\t")
		switch {
		case line == "---" || strings.HasPrefix(line, "--- "):
			if content {
				return n + 1
			}
		case line != "" && line[0] != '#' && line[0] != '%':
			content = true
		}
	}
	return 0
}

// syntax takes a parser's error apart into lines.
func syntax(err error) error {
	line := regexp.MustCompile(`line (\d+): (.*)`)
	var all Errors
	for text := range strings.SplitSeq(err.Error(), "\n") {
		text = strings.TrimSpace(text)
		m := line.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			n = 0
		}
		all = append(all, Problem{Line: n, Text: clean(m[2])})
	}
	if len(all) == 0 {
		all = Errors{{Text: clean(err.Error())}}
	}
	return all
}

// clean makes a parser's words one line without what a terminal might obey.
func clean(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "..."
	}
	return text
}

// located adds lines to problems and puts them in their order.
func located(at []mark, problems []found) error {
	all := make(Errors, 0, len(problems))
	for _, f := range problems {
		all = append(all, Problem{Line: lineOf(at, f.path), Path: clean(pathText(f.path)), Text: clean(f.text)})
	}
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(all)
}

// versionText returns a version that is written as text or number.
func versionText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// AsErrors returns what is wrong in a policy file, where that is the error.
func AsErrors(err error) (Errors, bool) {
	var all Errors
	return all, errors.As(err, &all)
}
