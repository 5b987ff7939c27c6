package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/recfleet/recfleet/coordinator/written"
	"github.com/recfleet/recfleet/docs"
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

// Parse reads a policy in YAML or JSON. The error is written.Errors where the policy is at fault.
func Parse(raw []byte) (*Policy, error) {
	var d document
	if err := written.Decode(raw, Schema(), &d); err != nil {
		return nil, err
	}
	p, problems := d.compile()
	if len(problems) > 0 {
		return nil, written.Located(raw, problems)
	}
	sum := sha256.Sum256(raw)
	p.hash = hex.EncodeToString(sum[:])
	return p, nil
}

// Schema returns the JSON Schema of policy files.
func Schema() []byte { return docs.PolicySchema() }

// versionText returns a version that is written as text or number.
func versionText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
