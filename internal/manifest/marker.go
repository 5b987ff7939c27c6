package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Names of what is written beside the mp4s of a session.
const (
	MetadataName  = "metadata.json"
	EventsName    = "events.ndjson" // what happened, one JSON object a line
	Name          = "manifest.json"
	SignatureName = "manifest.json.sig" // 64 bytes: Ed25519 over the bytes of the manifest
	MarkerName    = "complete.json"
)

// markerFormat is what a marker says of itself.
const markerFormat = "recfleet end marker"

// Marker is the content of complete.json. It is the last thing that is written of a session and the first that is deleted, and
// exists only of sessions that are complete: whoever sees it finds everything else.
type Marker struct {
	Format         string `json:"format"`
	Version        int    `json:"version"`
	SessionID      string `json:"session_id"`
	ManifestBytes  int    `json:"manifest_bytes"`
	ManifestSHA256 string `json:"manifest_sha256"`
}

// NewMarker is the marker of a session with such a manifest.
func NewMarker(session string, bytes int, sha256 string) Marker {
	return Marker{Format: markerFormat, Version: Version, SessionID: session, ManifestBytes: bytes, ManifestSHA256: sha256}
}

// Encode returns the marker as it is archived.
func (m Marker) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write end marker: %w", err)
	}
	return append(raw, '\n'), nil
}

// ParseMarker reads a marker. It fails for anything else, and for a version that is not known here.
func ParseMarker(raw []byte) (Marker, error) {
	var m Marker
	if err := json.Unmarshal(raw, &m); err != nil {
		return Marker{}, errors.New("parse end marker: not the JSON of one")
	}
	if m.Format != markerFormat || m.Version != Version {
		return Marker{}, fmt.Errorf("parse end marker: format %q, version %d is not known", m.Format, m.Version)
	}
	return m, nil
}
