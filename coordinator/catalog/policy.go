package catalog

import (
	"encoding/json"
	"fmt"
	"time"
)

// Policy is what a session keeps of the recording policy that it was begun under. It never changes.
type Policy struct {
	Rule      string        // the name of the rule that held; empty where none did
	Hash      string        // of the policy file, in hex; empty where there was none
	Mode      string        // "strict", "grace" or "best-effort"; empty where the agent's own setting holds
	Retention time.Duration // from the end of the session; 0 is for ever
	PolicyTerms
}

// PolicyTerms is the part of a Policy that is not searched for.
type PolicyTerms struct {
	Version  string        `json:"version,omitempty"` // as the policy's author calls it
	Grace    time.Duration `json:"grace,omitempty"`
	Encode   Encode        `json:"encode,omitzero"`
	Notice   string        `json:"notice,omitempty"` // what the user is told
	Activity []string      `json:"activity,omitempty"`
	Enforce  string        `json:"enforce,omitempty"` // "expire_session", or empty for nothing
}

// Encode is how the mp4s of a session are made; what is zero is left to the coordinator's own settings.
type Encode struct {
	CRF       *int   `json:"crf,omitempty"`     // 0 to 51
	Bitrate   int64  `json:"bitrate,omitempty"` // bits a second; never with a CRF
	Preset    string `json:"preset,omitempty"`
	FrameRate int    `json:"frame_rate,omitempty"` // most frames a second
	MaxWidth  int    `json:"max_width,omitempty"`  // pixels
	MaxHeight int    `json:"max_height,omitempty"`
}

// policyTerms is how a column holds them.
type policyTerms struct{ terms *PolicyTerms }

func (p policyTerms) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("read policy: %T", v)
	}
	if err := json.Unmarshal([]byte(s), p.terms); err != nil {
		return fmt.Errorf("read policy: %w", err)
	}
	return nil
}
