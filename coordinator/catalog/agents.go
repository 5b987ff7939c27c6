package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Beat is a sign of life of a session's agent.
type Beat struct {
	Session   string
	Seen      time.Time     // wall clock of the coordinator that heard it
	LastFrame time.Time     // wall clock of the instance; zero where there is none yet
	Spooled   int64         // bytes on the instance without a receipt
	Frames    int64         // taken so far; negative where this sign of life says nothing of the session but that its agent lives
	Idle      time.Duration // since the user's last input; negative where it is not known
}

// beatsAtOnce bounds the beats of one transaction, so that others have their turns in between.
const beatsAtOnce = 250

// NoteBeats keeps the signs of life that a coordinator heard, one for each session, some in a transaction at a time. What is kept may
// be lost with a crash of the database: agents say it again.
func (c *Catalog) NoteBeats(ctx context.Context, coordinator string, beats []Beat) error {
	for some := range slices.Chunk(beats, beatsAtOnce) {
		err := c.updateLate(ctx, func(tx *txn) error {
			for together := range slices.Chunk(some, tx.dialect.beatsTogether) {
				if err := noteBeats(ctx, tx, coordinator, together); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("note beats of agents: %w", err)
		}
	}
	return nil
}

// noteBeats writes beats in one statement.
func noteBeats(ctx context.Context, tx *txn, coordinator string, beats []Beat) error {
	var s statement
	values := make([]string, 0, len(beats))
	for _, b := range beats {
		values = append(values, "("+strings.Join([]string{
			s.arg(b.Session), s.arg(coordinator), s.arg(nanos(b.Seen)), s.arg(nanos(b.LastFrame)), s.arg(b.Spooled), s.arg(int64(b.Idle)), s.arg(b.Frames),
		}, ", ")+")")
	}
	_, err := exec(ctx, tx, `INSERT INTO agents (session_id, coordinator, seen_time, frame_time, spooled, idle, frames) VALUES `+strings.Join(values, ", ")+`
		ON CONFLICT (session_id) DO UPDATE SET coordinator = EXCLUDED.coordinator, seen_time = EXCLUDED.seen_time,
		  frame_time = CASE WHEN EXCLUDED.frames < 0 THEN agents.frame_time ELSE EXCLUDED.frame_time END,
		  spooled = CASE WHEN EXCLUDED.frames < 0 THEN agents.spooled ELSE EXCLUDED.spooled END,
		  idle = CASE WHEN EXCLUDED.frames < 0 THEN agents.idle ELSE EXCLUDED.idle END,
		  frames = CASE WHEN EXCLUDED.frames < 0 THEN agents.frames ELSE EXCLUDED.frames END`, s.args...)
	return err
}

// BeatsOfOthers returns the last signs of life that were heard by coordinators other than the one named. Their times are of
// those coordinators' clocks: that one changed says more than what it is.
func (c *Catalog) BeatsOfOthers(ctx context.Context, coordinator string) (found []Beat, err error) {
	err = c.view(ctx, func(tx *txn) error {
		found = nil
		return rows(ctx, tx, func(row scanner) error {
			var b Beat
			err := row.Scan(&b.Session, instant{&b.Seen}, instant{&b.LastFrame}, &b.Spooled, &b.Idle, &b.Frames)
			found = append(found, b)
			return err
		}, `SELECT session_id, seen_time, frame_time, spooled, idle, frames FROM agents WHERE coordinator <> $1`, coordinator)
	})
	if err != nil {
		return nil, fmt.Errorf("read beats of agents: %w", err)
	}
	return found, nil
}

// ForgetBeats drops what is kept of agents whose sessions are over.
func (c *Catalog) ForgetBeats(ctx context.Context) error {
	const over = `SELECT a.session_id FROM agents a LEFT JOIN sessions s ON s.id = a.session_id
		WHERE s.id IS NULL OR s.state NOT IN ('starting', 'recording', 'finalizing')`
	err := c.updateLate(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `DELETE FROM agents WHERE session_id IN (`+over+`)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget beats of agents: %w", err)
	}
	return nil
}

// Agent is the agent of a session that is not over.
type Agent struct {
	Beat
	Instance, User, Version string
	Silent                  bool
}

// AgentFilter selects agents; its zero value selects all.
type AgentFilter struct{ Silent bool }

type agentToken struct {
	Silent   bool   `json:"s"`
	Instance string `json:"i"`
	Session  string `json:"n"`
}

// ListAgents returns at most size agents of sessions whose agents have not ended them, by instance, and the token of the next page,
// empty where there is none. A token that was made for another filter is ErrPageToken.
func (c *Catalog) ListAgents(ctx context.Context, f AgentFilter, size int, token string) (found []Agent, next string, err error) {
	var s statement
	s.add(`SELECT s.id, s.instance, s.user_name, s.agent_version, s.silent_time, COALESCE(a.seen_time, 0), COALESCE(a.frame_time, 0), COALESCE(a.spooled, 0), COALESCE(a.idle, -1)
		FROM sessions s LEFT JOIN agents a ON a.session_id = s.id WHERE s.state IN ('starting', 'recording', 'finalizing') AND s.ended_by <> 'coordinator'`)
	if f.Silent {
		s.add(` AND s.silent_time > 0`)
	}
	if token != "" {
		var t agentToken
		if !readToken(token, &t) || t.Silent != f.Silent {
			return nil, "", ErrPageToken
		}
		s.add(` AND (s.instance, s.id) > (%s, %s)`, s.arg(t.Instance), s.arg(t.Session))
	}
	s.add(` ORDER BY s.instance, s.id LIMIT %s`, s.arg(size+1))
	err = c.view(ctx, func(tx *txn) error {
		found = nil
		return rows(ctx, tx, func(row scanner) error {
			var a Agent
			var silent time.Time
			err := row.Scan(&a.Session, &a.Instance, &a.User, &a.Version, instant{&silent}, instant{&a.Seen}, instant{&a.LastFrame}, &a.Spooled, &a.Idle)
			a.Silent = !silent.IsZero()
			found = append(found, a)
			return err
		}, s.String(), s.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list agents: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		last := found[size-1]
		next = writeToken(agentToken{Silent: f.Silent, Instance: last.Instance, Session: last.Session})
	}
	return found, next, nil
}
