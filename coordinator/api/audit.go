package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// auditService reads what was done.
type auditService struct {
	recfleetv1.UnimplementedAuditServiceServer
	catalog *catalog.Catalog
	heads   func(ctx context.Context) (map[int64]chunk.Hash, error)
}

// ListAuditRecords returns one page.
func (s *auditService) ListAuditRecords(ctx context.Context, r *recfleetv1.ListAuditRecordsRequest) (*recfleetv1.ListAuditRecordsResponse, error) {
	if err := checkListAudit(r); err != nil {
		return nil, err
	}
	f := catalog.AuditFilter{
		Who: r.GetActor(), Action: r.GetAction(), Object: r.GetObject(), Result: r.GetResult(), After: timeFromProto(r.GetAfter()), Before: timeFromProto(r.GetBefore()), OldestFirst: r.GetOldestFirst(),
	}
	found, next, err := s.catalog.ListAudit(ctx, f, sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListAuditRecordsResponse{NextPageToken: next}
	for _, a := range found {
		answer.Records = append(answer.Records, &recfleetv1.AuditRecord{
			Number: a.Number, Time: timeToProto(a.Time), Actor: a.Who, Action: a.Action, Object: a.Object, Reason: a.Reason, Result: a.Result,
			From: a.From, Hash: a.Hash[:], PreviousHash: a.Previous[:], Auth: a.Auth, Times: a.Times,
		})
		if a.Span != (evidence.Span{}) {
			last := answer.Records[len(answer.Records)-1]
			last.SpanStart, last.SpanEnd = milliseconds(a.Span.Start), milliseconds(a.Span.End)
		}
	}
	return answer, nil
}

func milliseconds(n int64) *durationpb.Duration {
	return durationpb.New(time.Duration(n) * time.Millisecond)
}

// VerifyAudit computes the chain anew and compares it with the archive's daily files.
func (s *auditService) VerifyAudit(ctx context.Context, _ *recfleetv1.VerifyAuditRequest) (*recfleetv1.VerifyAuditResponse, error) {
	var known map[int64]chunk.Hash
	if s.heads != nil {
		var err error
		if known, err = s.heads(ctx); err != nil {
			return nil, err
		}
	}
	last, err := s.catalog.VerifyAuditAgainst(ctx, known)
	if err != nil {
		return nil, err
	}
	return &recfleetv1.VerifyAuditResponse{Records: last.Number, Hash: last.Hash[:]}, nil
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
	return first(text("actor", r.GetActor(), maxName), text("action", r.GetAction(), maxName), text("object", r.GetObject(), maxName), text("result", r.GetResult(), maxName),
		page(r.GetPageSize(), r.GetPageToken()))
}
