package catalog

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// ListRecordings returns at most size archived segments of a session by number, and the token of the next page, empty where
// there is none. A token of another session is ErrPageToken; it is ErrNotFound where there is no such session.
func (c *Catalog) ListRecordings(ctx context.Context, id string, size int, token string) (found []Segment, next string, err error) {
	after := 0
	if token != "" {
		if after, err = parseRecordingToken(id, token); err != nil {
			return nil, "", err
		}
	}
	err = c.view(ctx, func(tx *txn) error {
		if _, err := session(ctx, tx, id); err != nil {
			return err
		}
		return rows(ctx, tx, func(row scanner) error {
			s, err := scanSegment(row)
			found = append(found, s)
			return err
		}, selectSegment+` AND state = $2 AND number > $3 ORDER BY number LIMIT $4`, id, SegmentArchived, after, size+1)
	})
	if err != nil {
		return nil, "", wrap("list recordings of session", id, err)
	}
	if len(found) > size {
		found = found[:size]
		next = recordingToken(id, found[size-1].Segment)
	}
	return found, next, nil
}

func parseRecordingToken(id, token string) (after int, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(token) > maxPageToken {
		return 0, ErrPageToken
	}
	number, ok := strings.CutPrefix(string(b), id+".")
	if after, err = strconv.Atoi(number); !ok || err != nil || after < 1 || recordingToken(id, after) != token {
		return 0, ErrPageToken
	}
	return after, nil
}

// recordingToken is the token of the page behind a segment.
func recordingToken(id string, after int) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s.%d", id, after))
}
