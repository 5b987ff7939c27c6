package finish

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// event is a line of events.ndjson. What came from outside is in strings of About alone, where JSON escapes it: a line is a line, and
// no byte below 0x20 and no character that HTML or a terminal would act upon stands in it as it came.
type event struct {
	Number int64           `json:"number"`
	Time   time.Time       `json:"time"`
	Kind   string          `json:"kind"`
	About  json.RawMessage `json:"about"`
}

// events returns the content of events.ndjson: every event of a session in its order. The books are closed, so that it is always the
// same.
func (f *Finish) events(ctx context.Context, id string) ([]byte, error) {
	var out bytes.Buffer
	lines := json.NewEncoder(&out) // escapes <, > and &
	err := f.catalog.ReadEvents(ctx, id, func(e catalog.LoggedEvent) error {
		return lines.Encode(event{Number: e.Number, Time: e.Time, Kind: string(e.Kind), About: e.Body})
	})
	return out.Bytes(), err
}
