package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// pendingError says that an order waits for a second person.
type pendingError struct{ approval catalog.Approval }

func (e *pendingError) Error() string {
	return fmt.Sprintf("a second person has to approve this until %s: recctl approvals approve %s",
		e.approval.Expires.UTC().Format(time.RFC3339), e.approval.ID)
}

// approvalNeeded is the status of an order that waits.
func approvalNeeded(e *pendingError) error {
	s := status.New(codes.FailedPrecondition, e.Error())
	detailed, err := s.WithDetails(&recfleetv1.ApprovalNeeded{Approval: approvalToProto(e.approval)})
	if err != nil {
		return s.Err() // the words alone
	}
	return detailed.Err()
}

// order carries out what may need two people: the first one's order waits, a second one's order of the same approves it.
func (s *sessionService) order(ctx context.Context, d deed) (*recfleetv1.Session, error) {
	wait, needed := s.book().TwoPeople(access.ActionRight(d.action))
	if !needed {
		return s.carryOut(ctx, d, access.Caller(ctx).Name)
	}
	session, err := s.catalog.Session(ctx, d.object)
	if err != nil {
		return nil, err
	}
	switch {
	case d.action == access.ActionRelease && session.Hold.Time.IsZero(), d.action == access.ActionDelete && !session.Deletion.Ordered.IsZero():
		return s.carryOut(ctx, d, access.Caller(ctx).Name) // it changes nothing
	case d.action == access.ActionDelete && !session.Hold.Time.IsZero():
		return nil, held(d.object)
	case d.action == access.ActionDelete && !session.State.Final():
		return nil, notOver(session)
	}
	who, now := access.Caller(ctx), time.Now()
	a, err := s.catalog.PendingApproval(ctx, d.object, d.action, now)
	switch {
	case err == nil && a.Person != who.Person:
		_, session, err := s.approve(ctx, a, d.reason)
		return session, err
	case err == nil:
		return nil, &pendingError{a}
	case !errors.Is(err, catalog.ErrNotFound):
		return nil, err
	}
	ask := deed{"approval.ask", d.object, oneLine(strings.TrimSpace(d.action+" "+d.reason), maxReason)}
	if err := s.ledger.do(ctx, ask, func(ctx context.Context) error {
		a, err = s.catalog.AskApproval(ctx, catalog.Approval{
			ID: strings.ToLower(rand.Text()), Action: d.action, Session: d.object, Reason: d.reason, By: who.Name, Person: who.Person,
			Asked: now, Expires: now.Add(wait),
		})
		return err
	}); err != nil {
		return nil, err
	}
	s.logger.Info("order waits for a second person", "action", d.action, "session_id", d.object, "approval_id", a.ID, "by", a.By)
	return nil, &pendingError{a}
}

// approve decides as a second person, and has what was ordered done.
func (s *sessionService) approve(ctx context.Context, a catalog.Approval, reason string) (catalog.Approval, *recfleetv1.Session, error) {
	a, err := s.decide(ctx, a, catalog.ApprovalApproved, deed{"approval.approve", a.ID, reason})
	if err != nil {
		return a, nil, err
	}
	by := a.By + ", " + a.EndBy
	session, err := s.carryOut(ctx, deed{a.Action, a.Session, oneLine(strings.TrimSpace(a.Reason+" (ordered by "+a.By+", approval "+a.ID+")"), maxReason)}, by)
	return a, session, err
}

func (s *sessionService) decide(ctx context.Context, a catalog.Approval, as catalog.ApprovalState, d deed) (catalog.Approval, error) {
	who := access.Caller(ctx)
	err := s.ledger.do(ctx, d, func(ctx context.Context) (err error) {
		a, err = s.catalog.EndApproval(ctx, catalog.Approval{
			ID: a.ID, State: as, EndBy: who.Name, EndPerson: who.Person, EndReason: d.reason, Ended: time.Now(),
		})
		return precondition(err)
	})
	if err == nil {
		s.logger.Info("approval ended", "approval_id", a.ID, "state", a.State, "by", a.EndBy)
	}
	return a, err
}

// carryOut does what was ordered, in the name of whoever ordered it.
func (s *sessionService) carryOut(ctx context.Context, d deed, by string) (*recfleetv1.Session, error) {
	return s.keep(ctx, d, func(ctx context.Context, _ string) error {
		if d.action == access.ActionRelease {
			return s.catalog.ReleaseSession(ctx, d.object)
		}
		err := s.catalog.OrderDeletion(ctx, d.object, catalog.Deletion{Ordered: time.Now(), By: by, Reason: d.reason})
		switch {
		case err == nil:
			s.deleted()
		case errors.Is(err, catalog.ErrHeld):
			return held(d.object)
		case errors.Is(err, catalog.ErrTransition):
			session, err := s.catalog.Session(ctx, d.object)
			if err != nil {
				return err
			}
			return notOver(session)
		}
		return err
	})
}

func held(session string) error {
	return fmt.Errorf("%w: session %s is held; it can be deleted when it was released", errPrecondition, session)
}

func notOver(s catalog.Session) error {
	return fmt.Errorf("%w: session %s is %s, and only one that is over can be deleted", errPrecondition, s.ID, s.State)
}

// approvalService is for second people.
type approvalService struct {
	recfleetv1.UnimplementedApprovalServiceServer
	sessions *sessionService
}

// ListApprovals returns one page of what the caller could order itself.
func (s *approvalService) ListApprovals(ctx context.Context, r *recfleetv1.ListApprovalsRequest) (*recfleetv1.ListApprovalsResponse, error) {
	if err := page(r.GetPageSize(), r.GetPageToken()); err != nil {
		return nil, err
	}
	access.Visible(ctx) // it is asked for by action
	scopes := map[string]catalog.Scope{}
	for _, action := range []string{access.ActionDelete, access.ActionRelease} {
		if scope := access.Caller(ctx).Scope(access.ActionRight(action)); !scope.Empty() {
			scopes[action] = scope
		}
	}
	found, next, err := s.sessions.catalog.ListApprovals(ctx, scopes, r.GetIncludeEnded(), time.Now(), sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListApprovalsResponse{NextPageToken: next}
	for _, a := range found {
		answer.Approvals = append(answer.Approvals, approvalToProto(a))
	}
	return answer, nil
}

// ApproveOrder approves an order and has it done.
func (s *approvalService) ApproveOrder(ctx context.Context, r *recfleetv1.ApproveOrderRequest) (*recfleetv1.ApproveOrderResponse, error) {
	if err := checkDecision(r.GetApprovalId(), r.GetReason()); err != nil {
		return nil, err
	}
	a, _, err := s.sessions.approve(ctx, catalog.Approval{ID: r.GetApprovalId()}, r.GetReason())
	if err != nil {
		return nil, err
	}
	return &recfleetv1.ApproveOrderResponse{Approval: approvalToProto(a)}, nil
}

// RefuseOrder refuses an order.
func (s *approvalService) RefuseOrder(ctx context.Context, r *recfleetv1.RefuseOrderRequest) (*recfleetv1.RefuseOrderResponse, error) {
	if err := checkDecision(r.GetApprovalId(), r.GetReason()); err != nil {
		return nil, err
	}
	a, err := s.sessions.decide(ctx, catalog.Approval{ID: r.GetApprovalId()}, catalog.ApprovalRefused, deed{"approval.refuse", r.GetApprovalId(), r.GetReason()})
	if err != nil {
		return nil, err
	}
	return &recfleetv1.RefuseOrderResponse{Approval: approvalToProto(a)}, nil
}

func checkDecision(id, reason string) error {
	return first(matches("approval_id", id, randomID), text("reason", reason, maxReason))
}

func approvalToProto(a catalog.Approval) *recfleetv1.Approval {
	states := map[catalog.ApprovalState]recfleetv1.ApprovalState{
		catalog.ApprovalPending:  recfleetv1.ApprovalState_APPROVAL_STATE_PENDING,
		catalog.ApprovalApproved: recfleetv1.ApprovalState_APPROVAL_STATE_APPROVED,
		catalog.ApprovalRefused:  recfleetv1.ApprovalState_APPROVAL_STATE_REFUSED,
		catalog.ApprovalExpired:  recfleetv1.ApprovalState_APPROVAL_STATE_EXPIRED,
	}
	return &recfleetv1.Approval{
		Id: a.ID, Action: a.Action, SessionId: a.Session, Reason: a.Reason, State: states[a.State], AskBy: a.By, AskTime: timeToProto(a.Asked),
		ExpireTime: timeToProto(a.Expires), EndBy: a.EndBy, EndReason: a.EndReason, EndTime: timeToProto(a.Ended),
	}
}
