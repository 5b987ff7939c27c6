package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator/catalog"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// auditService reads what was done.
type auditService struct {
	recfleetv1.UnimplementedAuditServiceServer
	catalog *catalog.Catalog
}

// ListAuditRecords returns one page.
func (s *auditService) ListAuditRecords(ctx context.Context, r *recfleetv1.ListAuditRecordsRequest) (*recfleetv1.ListAuditRecordsResponse, error) {
	if err := checkListAudit(r); err != nil {
		return nil, err
	}
	f := catalog.AuditFilter{
		Who: r.GetActor(), Action: r.GetAction(), Object: r.GetObject(), After: timeFromProto(r.GetAfter()), Before: timeFromProto(r.GetBefore()),
	}
	found, next, err := s.catalog.ListAudit(ctx, f, sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListAuditRecordsResponse{NextPageToken: next}
	for _, a := range found {
		answer.Records = append(answer.Records, &recfleetv1.AuditRecord{
			Number: a.Number, Time: timeToProto(a.Time), Actor: a.Who, Action: a.Action, Object: a.Object, Reason: a.Reason, Result: a.Result,
			From: a.From, Hash: a.Hash[:],
		})
	}
	return answer, nil
}

func checkListAudit(r *recfleetv1.ListAuditRecordsRequest) error {
	for _, t := range []struct {
		field string
		value *timestamppb.Timestamp
	}{{"after", r.GetAfter()}, {"before", r.GetBefore()}} {
		if t.value == nil {
			continue
		}
		if err := timestamp(t.field, t.value); err != nil {
			return err
		}
	}
	return first(text("actor", r.GetActor(), maxName), text("action", r.GetAction(), maxName), text("object", r.GetObject(), maxName),
		page(r.GetPageSize(), r.GetPageToken()))
}
