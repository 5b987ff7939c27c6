package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ApprovalState is where an order stands that needs a second person.
type ApprovalState string

// The states; the comments say who moves it on.
const (
	ApprovalPending  ApprovalState = "pending"  // a second person, or time
	ApprovalApproved ApprovalState = "approved" // final
	ApprovalRefused  ApprovalState = "refused"  // final
	ApprovalExpired  ApprovalState = "expired"  // final: nobody decided in time
)

// Approval is an order of one person that needs another one.
type Approval struct {
	ID, Action, Session, Reason string
	State                       ApprovalState
	By, Person                  string // who ordered it, as the audit has it, and who answers for that
	Asked, Expires              time.Time
	EndBy, EndPerson, EndReason string
	Ended                       time.Time
}

const selectApproval = `SELECT id, action, session_id, reason, state, ask_by, ask_person, ask_time, expire_time, end_by, end_person, end_reason, end_time FROM approvals a`

func approvals(ctx context.Context, tx *txn, now time.Time, where string, args ...any) (found []Approval, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		var a Approval
		err := row.Scan(&a.ID, &a.Action, &a.Session, &a.Reason, &a.State, &a.By, &a.Person, instant{&a.Asked}, instant{&a.Expires},
			&a.EndBy, &a.EndPerson, &a.EndReason, instant{&a.Ended})
		if a.State == ApprovalPending && !now.Before(a.Expires) {
			a.State, a.Ended = ApprovalExpired, a.Expires
		}
		found = append(found, a)
		return err
	}, selectApproval+` WHERE `+where, args...)
	return found, err
}

func oneApproval(ctx context.Context, tx *txn, now time.Time, where string, args ...any) (Approval, error) {
	found, err := approvals(ctx, tx, now, where, args...)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Approval{}, err
	}
	return found[0], nil
}

// Approval returns an approval as it is at a time, or ErrNotFound.
func (c *Catalog) Approval(ctx context.Context, id string, now time.Time) (a Approval, err error) {
	err = c.view(ctx, func(tx *txn) error {
		a, err = oneApproval(ctx, tx, now, `id = $1`, id)
		return err
	})
	return a, wrap("read approval", id, err)
}

// PendingApproval returns what waits to be approved for a session, or ErrNotFound.
func (c *Catalog) PendingApproval(ctx context.Context, session, action string, now time.Time) (a Approval, err error) {
	err = c.view(ctx, func(tx *txn) error {
		a, err = oneApproval(ctx, tx, now, `session_id = $1 AND action = $2 AND state = 'pending' AND expire_time > $3`, session, action, nanos(now))
		return err
	})
	return a, wrap("read approval of session", session, err)
}

// AskApproval adds an order that waits. Where one of the same action waits for the session already it returns that one.
func (c *Catalog) AskApproval(ctx context.Context, a Approval) (stored Approval, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if _, err := exec(ctx, tx, `UPDATE approvals SET state = 'expired', end_time = expire_time WHERE session_id = $1 AND action = $2 AND state = 'pending' AND expire_time <= $3`,
			a.Session, a.Action, nanos(a.Asked)); err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `INSERT INTO approvals (id, action, session_id, reason, state, ask_by, ask_person, ask_time, expire_time, end_by, end_person, end_reason, end_time)
			VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, '', '', '', 0) ON CONFLICT DO NOTHING`,
			a.ID, a.Action, a.Session, a.Reason, a.By, a.Person, nanos(a.Asked), nanos(a.Expires)); err != nil {
			return err
		}
		stored, err = oneApproval(ctx, tx, a.Asked, `session_id = $1 AND action = $2 AND state = 'pending'`, a.Session, a.Action)
		return err
	})
	return stored, wrap("ask for approval of session", a.Session, err)
}

// EndApproval approves or refuses what waits, once: ErrConflict says that it does not wait any more. Whoever ordered it may not
// approve it; that is ErrConflict as well.
func (c *Catalog) EndApproval(ctx context.Context, a Approval) (stored Approval, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if stored, err = oneApproval(ctx, tx, a.Ended, `id = $1`+tx.lock, a.ID); err != nil {
			return err
		}
		switch {
		case stored.State != ApprovalPending:
			return fmt.Errorf("it is %s: %w", stored.State, ErrConflict)
		case a.State == ApprovalApproved && stored.Person == a.EndPerson:
			return fmt.Errorf("it was ordered by the same person: %w", ErrConflict)
		case a.State != ApprovalApproved && a.State != ApprovalRefused:
			return fmt.Errorf("end it as %q: %w", a.State, ErrTransition)
		}
		if _, err := exec(ctx, tx, `UPDATE approvals SET state = $1, end_by = $2, end_person = $3, end_reason = $4, end_time = $5 WHERE id = $6`,
			a.State, a.EndBy, a.EndPerson, a.EndReason, nanos(a.Ended), a.ID); err != nil {
			return err
		}
		stored, err = oneApproval(ctx, tx, a.Ended, `id = $1`, a.ID)
		return err
	})
	return stored, wrap("end approval", a.ID, err)
}

type approvalCursor struct {
	Filter string `json:"f"`
	Time   int64  `json:"t"`
	ID     string `json:"i"`
}

// ListApprovals returns at most size approvals, the newest first: those of the actions that are named, of sessions in the scope of
// each; where all is not set, only what waits. It returns the token of the next page, empty where there is none.
func (c *Catalog) ListApprovals(ctx context.Context, scopes map[string]Scope, all bool, now time.Time, size int, page string) (found []Approval, next string, err error) {
	var s statement
	of := []string{"1 = 0"}
	mark := fingerprint("%v %v", scopes, all)
	for action, scope := range scopes {
		condition := "a.action = " + s.arg(action)
		if where := scope.condition(&s); where != "" {
			condition += " AND EXISTS (SELECT 1 FROM sessions WHERE sessions.id = a.session_id AND " + where + ")"
		}
		of = append(of, condition)
	}
	where := "((" + strings.Join(of, ") OR (") + "))"
	if !all {
		where += " AND state = 'pending' AND expire_time > " + s.arg(nanos(now))
	}
	if page != "" {
		var at approvalCursor
		if !readToken(page, &at) || at.Filter != mark {
			return nil, "", ErrPageToken
		}
		where += fmt.Sprintf(" AND (ask_time, id) < (%s, %s)", s.arg(at.Time), s.arg(at.ID))
	}
	err = c.view(ctx, func(tx *txn) error {
		found, err = approvals(ctx, tx, now, where+" ORDER BY ask_time DESC, id DESC LIMIT "+s.arg(size+1), s.args...)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list approvals: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		last := found[size-1]
		next = writeToken(approvalCursor{Filter: mark, Time: nanos(last.Asked), ID: last.ID})
	}
	return found, next, nil
}
