package api

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"regexp"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/enroll"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// enrollmentService lets agents join.
type enrollmentService struct {
	recfleetv1.UnimplementedEnrollmentServiceServer
	enroll  *enroll.Enroll
	catalog *catalog.Catalog
	ledger  ledger
}

// CreateEnrollment makes an enrollment and its token.
func (s *enrollmentService) CreateEnrollment(ctx context.Context, r *recfleetv1.CreateEnrollmentRequest) (*recfleetv1.CreateEnrollmentResponse, error) {
	now := time.Now()
	if err := checkCreateEnrollment(r, now); err != nil {
		return nil, err
	}
	token := identity.NewEnrollmentToken()
	if r.GetAws() != nil {
		token = identity.NewAWSEnrollmentToken()
	}
	e := catalog.Enrollment{
		ID: identity.NewAgentID(), Hash: enroll.HashToken(token), Description: r.GetDescription(), Stacks: r.GetStacks(), Fleets: r.GetFleets(),
		AWSAccount: r.GetAws().GetAccount(), AWSARN: r.GetAws().GetArn(), CreateBy: access.Caller(ctx).Name, Created: now,
		Expires: timeFromProto(r.GetExpireTime()), MaxUses: int(r.GetMaxUses()),
	}
	if err := s.ledger.do(ctx, deed{"enrollment.create", e.ID, e.Description}, func(ctx context.Context) error { return s.catalog.CreateEnrollment(ctx, e) }); err != nil {
		return nil, err
	}
	return &recfleetv1.CreateEnrollmentResponse{Enrollment: enrollmentToProto(e), Token: token}, nil
}

// ListEnrollments returns one page.
func (s *enrollmentService) ListEnrollments(ctx context.Context, r *recfleetv1.ListEnrollmentsRequest) (*recfleetv1.ListEnrollmentsResponse, error) {
	if err := page(r.GetPageSize(), r.GetPageToken()); err != nil {
		return nil, err
	}
	found, next, err := s.catalog.ListEnrollments(ctx, r.GetShowEnded(), time.Now(), sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListEnrollmentsResponse{NextPageToken: next}
	for _, e := range found {
		answer.Enrollments = append(answer.Enrollments, enrollmentToProto(e))
	}
	return answer, nil
}

// RevokeEnrollment ends an enrollment.
func (s *enrollmentService) RevokeEnrollment(ctx context.Context, r *recfleetv1.RevokeEnrollmentRequest) (*recfleetv1.RevokeEnrollmentResponse, error) {
	if err := first(matches("enrollment_id", r.GetEnrollmentId(), shortID), text("reason", r.GetReason(), maxReason)); err != nil {
		return nil, err
	}
	var e catalog.Enrollment
	if err := s.ledger.do(ctx, deed{"enrollment.revoke", r.GetEnrollmentId(), r.GetReason()}, func(ctx context.Context) (err error) {
		e, err = s.catalog.RevokeEnrollment(ctx, r.GetEnrollmentId(), access.Caller(ctx).Name, time.Now(), r.GetKeepAgents())
		return err
	}); err != nil {
		return nil, err
	}
	s.enroll.Raise()
	return &recfleetv1.RevokeEnrollmentResponse{Enrollment: enrollmentToProto(e)}, nil
}

// ListEnrolledAgents returns one page.
func (s *enrollmentService) ListEnrolledAgents(ctx context.Context, r *recfleetv1.ListEnrolledAgentsRequest) (*recfleetv1.ListEnrolledAgentsResponse, error) {
	err := page(r.GetPageSize(), r.GetPageToken())
	if err == nil && r.GetEnrollmentId() != "" {
		err = matches("enrollment_id", r.GetEnrollmentId(), shortID)
	}
	if err != nil {
		return nil, err
	}
	found, next, err := s.catalog.ListEnrolledAgents(ctx, r.GetEnrollmentId(), sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListEnrolledAgentsResponse{NextPageToken: next}
	for _, a := range found {
		answer.Agents = append(answer.Agents, enrolledToProto(a))
	}
	return answer, nil
}

// RevokeEnrolledAgent ends one agent.
func (s *enrollmentService) RevokeEnrolledAgent(ctx context.Context, r *recfleetv1.RevokeEnrolledAgentRequest) (*recfleetv1.RevokeEnrolledAgentResponse, error) {
	if err := first(matches("agent_id", r.GetAgentId(), shortID), text("reason", r.GetReason(), maxReason)); err != nil {
		return nil, err
	}
	var a catalog.EnrolledAgent
	if err := s.ledger.do(ctx, deed{"agent.revoke", r.GetAgentId(), r.GetReason()}, func(ctx context.Context) (err error) {
		a, err = s.catalog.RevokeEnrolledAgent(ctx, r.GetAgentId(), access.Caller(ctx).Name, time.Now())
		return err
	}); err != nil {
		return nil, err
	}
	s.enroll.Raise()
	return &recfleetv1.RevokeEnrolledAgentResponse{Agent: enrolledToProto(a)}, nil
}

// BeginEnroll answers with a nonce.
func (s *enrollmentService) BeginEnroll(context.Context, *recfleetv1.BeginEnrollRequest) (*recfleetv1.BeginEnrollResponse, error) {
	return &recfleetv1.BeginEnrollResponse{Nonce: s.enroll.Nonce()}, nil
}

// Enroll makes a key known as an agent's.
func (s *enrollmentService) Enroll(ctx context.Context, r *recfleetv1.EnrollRequest) (*recfleetv1.EnrollResponse, error) {
	if err := checkEnroll(r); err != nil {
		return nil, err
	}
	j := enroll.Joining{
		Token: r.GetToken(), Nonce: r.GetNonce(), Key: r.GetPublicKey(), Machine: r.GetMachine(), Signature: r.GetSignature(), From: origin(ctx),
	}
	if a := r.GetAws(); a != nil {
		j.AWS = &enroll.SignedRequest{Region: a.GetRegion(), Headers: a.GetHeaders()}
	}
	joined, err := s.enroll.Join(ctx, j)
	if err != nil {
		return nil, err
	}
	// Who was not admitted is not written down, or anybody could fill the audit; nobody gets a certificate unwritten.
	if err := s.ledger.append(ctx, deed{"agent.enroll", joined.Agent, "by enrollment " + joined.Enrollment}, evidence.Span{}, allowed); err != nil {
		return nil, err
	}
	return &recfleetv1.EnrollResponse{AgentId: joined.Agent, Certificate: joined.Certificate, Lifetime: durationpb.New(joined.Lifetime)}, nil
}

// RenewCertificate gives an agent another certificate.
func (s *enrollmentService) RenewCertificate(ctx context.Context, r *recfleetv1.RenewCertificateRequest) (*recfleetv1.RenewCertificateResponse, error) {
	if err := first(matches("agent_id", r.GetAgentId(), shortID), checkProof(r)); err != nil {
		return nil, err
	}
	joined, err := s.enroll.Renew(ctx, r.GetAgentId(), r.GetNonce(), r.GetMachine(), r.GetSignature())
	if err != nil {
		return nil, err
	}
	return &recfleetv1.RenewCertificateResponse{Certificate: joined.Certificate, Lifetime: durationpb.New(joined.Lifetime)}, nil
}

// Bounds of what is said of enrollments.
const (
	maxPatterns       = 16
	maxUses           = 1_000_000
	maxMachine        = 128
	maxNonce          = 128
	maxToken          = 256
	maxAWSHeaders     = 16
	longestEnrollment = 10 * 366 * 24 * time.Hour
)

var (
	shortID    = regexp.MustCompile(`^[a-z0-9]{1,64}$`)
	awsAccount = regexp.MustCompile(`^[0-9]{12}$`)
	awsRegion  = regexp.MustCompile(`^[a-z]{2}(-[a-z]{1,10}){1,3}-[0-9]{1,2}$`)
	awsHeader  = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	awsCaller  = regexp.MustCompile(`^arn:aws[a-z-]*:(sts|iam)::[0-9]{12}:[\x21-\x7e]{1,512}$`)
)

func checkCreateEnrollment(r *recfleetv1.CreateEnrollmentRequest, now time.Time) error {
	if err := first(text("description", r.GetDescription(), maxName), timestamp("expire_time", r.GetExpireTime()),
		within("max_uses", int64(r.GetMaxUses()), 0, maxUses)); err != nil {
		return err
	}
	if at := r.GetExpireTime().AsTime(); !at.After(now) || at.After(now.Add(longestEnrollment)) {
		return wrong("expire_time", "is not within the next ten years")
	}
	for field, patterns := range map[string][]string{"stacks": r.GetStacks(), "fleets": r.GetFleets()} {
		if len(patterns) > maxPatterns {
			return wrong(field, "are %d, at most %d", len(patterns), maxPatterns)
		}
		for i, p := range patterns {
			if err := required(fmt.Sprintf("%s[%d]", field, i), p, maxName); err != nil {
				return err
			}
		}
	}
	if len(r.GetStacks())+len(r.GetFleets()) == 0 {
		return wrong("stacks", "are missing, and fleets as well; * is any")
	}
	a := r.GetAws()
	if a == nil {
		return nil
	}
	if err := first(matches("aws.account", a.GetAccount(), awsAccount), matches("aws.arn", a.GetArn(), awsCaller)); err != nil {
		return err
	}
	if !enroll.NamesAccount(a.GetArn(), a.GetAccount()) {
		return wrong("aws.arn", "is of another account than aws.account")
	}
	return nil
}

func checkProof(r interface {
	GetNonce() string
	GetMachine() string
	GetSignature() []byte
}) error {
	if len(r.GetSignature()) != ed25519.SignatureSize {
		return wrong("signature", "is %d bytes long, must be %d", len(r.GetSignature()), ed25519.SignatureSize)
	}
	return first(required("nonce", r.GetNonce(), maxNonce), required("machine", r.GetMachine(), maxMachine))
}

func checkEnroll(r *recfleetv1.EnrollRequest) error {
	if len(r.GetPublicKey()) != ed25519.PublicKeySize {
		return wrong("public_key", "is %d bytes long, must be %d", len(r.GetPublicKey()), ed25519.PublicKeySize)
	}
	if err := first(checkProof(r), required("token", r.GetToken(), maxToken)); err != nil {
		return err
	}
	a := r.GetAws()
	if a == nil {
		return nil
	}
	if err := matches("aws.region", a.GetRegion(), awsRegion); err != nil {
		return err
	}
	if len(a.GetHeaders()) > maxAWSHeaders {
		return wrong("aws.headers", "are %d, at most %d", len(a.GetHeaders()), maxAWSHeaders)
	}
	for name, value := range a.GetHeaders() {
		if err := first(matches("aws.headers", name, awsHeader), text("aws.headers."+name, value, maxValue)); err != nil {
			return err
		}
	}
	return nil
}

func enrollmentToProto(e catalog.Enrollment) *recfleetv1.Enrollment {
	p := &recfleetv1.Enrollment{
		Id: e.ID, Description: e.Description, Stacks: e.Stacks, Fleets: e.Fleets, CreateBy: e.CreateBy, CreateTime: timeToProto(e.Created),
		ExpireTime: timeToProto(e.Expires), MaxUses: int32(e.MaxUses), Uses: int32(e.Uses), RevokeTime: timeToProto(e.Revoked), RevokeBy: e.RevokeBy,
	}
	if e.AWSAccount != "" {
		p.Aws = &recfleetv1.AwsRule{Account: e.AWSAccount, Arn: e.AWSARN}
	}
	return p
}

func enrolledToProto(a catalog.EnrolledAgent) *recfleetv1.EnrolledAgent {
	return &recfleetv1.EnrolledAgent{
		Id: a.ID, EnrollmentId: a.Enrollment, From: a.From, AwsArn: a.AWSARN, EnrollTime: timeToProto(a.Enrolled), RenewTime: timeToProto(a.Renewed),
		RevokeTime: timeToProto(a.Revoked), RevokeBy: a.RevokeBy,
	}
}
