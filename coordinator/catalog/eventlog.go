package catalog

import (
	"context"
	"encoding/json"
	"time"
)

// LoggedEvent is an event as it is kept: what it says as a JSON object whose fields depend on its kind.
type LoggedEvent struct {
	Number int64
	Time   time.Time
	Kind   EventKind
	Body   json.RawMessage
}

// ReadEvents calls see for every event of a session, in their order; a page of them is read at a time.
func (c *Catalog) ReadEvents(ctx context.Context, id string, see func(LoggedEvent) error) error {
	const page = 1000
	for after := int64(0); ; {
		var found []LoggedEvent
		err := c.view(ctx, func(tx *txn) error {
			found = nil
			return rows(ctx, tx, func(row scanner) error {
				var e LoggedEvent
				var body string
				err := row.Scan(&e.Number, instant{&e.Time}, &e.Kind, &body)
				e.Body = json.RawMessage(body)
				found = append(found, e)
				return err
			}, `SELECT number, event_time, kind, body FROM events WHERE session_id = $1 AND number > $2 ORDER BY number LIMIT $3`, id, after, page)
		})
		for i := 0; err == nil && i < len(found); i++ {
			err, after = see(found[i]), found[i].Number
		}
		if err != nil {
			return wrap("read events of session", id, err)
		}
		if len(found) < page {
			return nil
		}
	}
}
