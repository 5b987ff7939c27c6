package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// open are the calls that everybody may make and that tell nothing.
func open() []string {
	return []string{
		recfleetv1.EnrollmentService_BeginEnroll_FullMethodName, recfleetv1.AccessService_GetSignIn_FullMethodName,
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch",
	}
}

func (s *stage) callTricks() []trick {
	return []trick{
		{"every call there is, about the honest session", s.everyCall},
		{"forged receipts and other falsehoods of the honest session", s.falsehoods},
		{"another stack", func(ctx context.Context) (string, bool, error) {
			key, err := s.attacker.pair.PublicKey()
			if err != nil {
				return "", false, err
			}
			r := startOf(key)
			r.Stack = "other"
			_, err = s.attacker.rpc().StartSession(ctx, r)
			return status.Code(err).String(), err == nil, nil
		}},
		{"the honest session's right on the bus", func(ctx context.Context) (string, bool, error) {
			_, err := s.attacker.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: s.victim.session, RenewBus: true, BusPublicKey: s.victim.busKey.Public()})
			first := status.Code(err)
			_, err = s.attacker.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: s.attacker.session, RenewBus: true, BusPublicKey: s.victim.busKey.Public()})
			return fmt.Sprintf("%v, its key for one's own session: %v", first, status.Code(err)), first == codes.OK || err == nil, nil
		}},
		{"names that are patterns", func(ctx context.Context) (string, bool, error) {
			var seen []string
			for _, id := range []string{"*", ">", "*.>", s.victim.session + ".>", "a.b", "", "A", strings.Repeat("a", 65)} {
				_, err := s.attacker.rpc().Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: id, RenewBus: true, BusPublicKey: s.victim.busKey.Public()})
				if err == nil {
					return "session " + id + " was served", true, nil
				}
				seen = append(seen, status.Code(err).String())
			}
			slices.Sort(seen)
			return strings.Join(slices.Compact(seen), ", "), false, nil
		}},
		{"certificates that are not one's own", s.certificates},
		{"the used-up token, and the honest agent's identity", s.impersonate},
	}
}

// everyCall makes every call that the server has, with the agent's certificate.
func (s *stage) everyCall(ctx context.Context) (string, bool, error) {
	names, err := s.methods(ctx)
	if err != nil {
		return "", false, err
	}
	outcomes := map[codes.Code]int{}
	for _, name := range names {
		answer, err := s.call(ctx, name)
		if err != nil {
			return "", false, err
		}
		outcomes[answer]++
		if answer == codes.OK && !slices.Contains(open(), name) {
			return name + " was served", true, nil
		}
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(outcomes)) {
		parts = append(parts, fmt.Sprintf("%d %v", outcomes[code], code))
	}
	return fmt.Sprintf("%d calls: %s", len(names), strings.Join(parts, ", ")), len(names) < 30, nil
}

// methods asks the server, as its administrator, for what it has.
func (s *stage) methods(ctx context.Context) (names []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
		return nil, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	for _, service := range answer.GetListServicesResponse().GetService() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service.GetName()))
		if err != nil {
			return nil, err
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods() //nolint:forcetypeassert // it is the name of a service
		for i := range methods.Len() {
			names = append(names, "/"+service.GetName()+"/"+string(methods.Get(i).Name()))
		}
	}
	return names, nil
}

// call makes one call, about the honest session where it is about any.
func (s *stage) call(ctx context.Context, name string) (codes.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	service, method, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return 0, err
	}
	m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method)) //nolint:forcetypeassert // it is the name of a service
	request, err := made(m.Input())
	if err != nil {
		return 0, err
	}
	fields := request.ProtoReflect().Descriptor().Fields()
	for field, value := range map[string]string{"session_id": s.victim.session, "job_id": s.victim.session + ".1", "agent_id": s.victim.id, "enrollment_id": "a"} {
		if f := fields.ByName(protoreflect.Name(field)); f != nil && f.Kind() == protoreflect.StringKind {
			request.ProtoReflect().Set(f, protoreflect.ValueOfString(value))
		}
	}
	if end, ok := request.(*recfleetv1.EndSessionRequest); ok {
		end.EndTime = timestamppb.Now()
	}
	answer, err := made(m.Output())
	if err != nil {
		return 0, err
	}
	if !m.IsStreamingClient() && !m.IsStreamingServer() {
		return status.Code(s.attacker.conn.Invoke(ctx, name, request, answer)), nil
	}
	stream, err := s.attacker.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, name)
	if err == nil {
		err = stream.SendMsg(request)
	}
	if err == nil {
		_ = stream.CloseSend()
		err = stream.RecvMsg(answer)
	}
	return status.Code(err), nil
}

func made(d protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

// falsehoods says of the honest session what is not so.
func (s *stage) falsehoods(ctx context.Context) (string, bool, error) {
	rpc, id := s.attacker.rpc(), s.victim.session
	errs := map[string]error{}
	_, errs["a seal"] = rpc.ReportEvents(ctx, &recfleetv1.ReportEventsRequest{SessionId: id, Events: []*recfleetv1.Event{{
		Number: 2, Time: timestamppb.Now(), Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: &recfleetv1.SegmentSealed{
			Segment: 1, Epoch: 1, ChunkCount: 1, FrameCount: 1, ByteCount: 1, Width: 640, Height: 480, StartTime: timestamppb.Now(), EndTime: timestamppb.Now(),
			ChainStart: make([]byte, 32), ChainEnd: make([]byte, 32),
		}},
	}}})
	_, errs["a receipt"] = rpc.Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: id, AwaitingReceipt: []int32{1}})
	_, errs["an end"] = rpc.EndSession(ctx, &recfleetv1.EndSessionRequest{SessionId: id, Reason: "evil", EndTime: timestamppb.Now(), LastSegment: 1, LastEvent: 1})
	_, errs["a stop"] = recfleetv1.NewSessionServiceClient(s.attacker.conn).StopSession(ctx, &recfleetv1.StopSessionRequest{SessionId: id})
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(errs)) {
		if errs[what] == nil {
			return what + " was taken", true, nil
		}
		parts = append(parts, fmt.Sprintf("%s: %v", what, status.Code(errs[what])))
	}
	return strings.Join(parts, ", "), false, nil
}

// certificates shows certificates that somebody else has signed, or that are somebody else's.
func (s *stage) certificates(ctx context.Context) (string, bool, error) {
	var seen []string
	own := s.attacker.key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // it is Ed25519's
	forged, err := forge(own, s.victim.id)
	if err != nil {
		return "", false, err
	}
	for _, der := range [][]byte{forged, s.victim.certificate} { // the second one without its key
		conn, err := s.attacker.client.DialCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.attacker.key})
		if err != nil {
			return "", false, err
		}
		_, err = recfleetv1.NewAgentServiceClient(conn).Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: s.victim.session})
		_ = conn.Close()
		if err == nil {
			return "let in", true, nil
		}
		seen = append(seen, status.Code(err).String())
	}
	return strings.Join(seen, ", "), false, nil
}

// impersonate asks for certificates in the honest agent's name, and joins once more.
func (s *stage) impersonate(ctx context.Context) (string, bool, error) {
	rpc := recfleetv1.NewEnrollmentServiceClient(s.attacker.conn)
	begun, err := rpc.BeginEnroll(ctx, &recfleetv1.BeginEnrollRequest{})
	if err != nil {
		return "", false, err
	}
	nonce := begun.GetNonce()
	_, renewErr := rpc.RenewCertificate(ctx, &recfleetv1.RenewCertificateRequest{
		AgentId: s.victim.id, Nonce: nonce, Machine: "victim", Signature: ed25519.Sign(s.attacker.key, identity.RenewProof(nonce, s.victim.id, "victim")),
	})
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", false, err
	}
	_, enrollErr := rpc.Enroll(ctx, &recfleetv1.EnrollRequest{
		Token: s.attacker.token, Nonce: nonce, PublicKey: public, Machine: "x", Signature: ed25519.Sign(private, identity.EnrollProof(nonce, public, "x")),
	})
	return fmt.Sprintf("renewal: %v, joining: %v", status.Code(renewErr), status.Code(enrollErr)), renewErr == nil || enrollErr == nil, nil
}
