package catalog

import (
	"encoding/json"
	"fmt"
)

// column is how thumbnails are kept.
func (t Thumbnails) column() (string, error) {
	if t == (Thumbnails{}) {
		return "", nil
	}
	return marshal(t)
}

// thumbnailsColumn reads it.
type thumbnailsColumn struct{ to *Thumbnails }

func (c thumbnailsColumn) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("read thumbnails: %T", v)
	}
	*c.to = Thumbnails{}
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), c.to)
}
