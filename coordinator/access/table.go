package access

import (
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// rule says who may use a method or a route. The zero rule lets nobody through.
type rule struct {
	anybody bool // also who shows nothing
	known   bool // every person, whatever the rights
	kind    Kind // machines of this kind
	// right is what a person needs, live what is needed instead where the session goes on or, of an order, where that is what
	// it needs.
	right, live Right
	object      object // what the call is about; the right is needed there
	lists       bool   // it shows the sessions for which the caller has the right
}

// object is what a request may name.
type object int

const (
	nothing object = iota
	session        // session_id, or {id} of a path
	order          // approval_id: a session, and what is to be done to it
)

func person(r Right) rule            { return rule{right: r} }
func listing(r Right) rule           { return rule{right: r, lists: true} }
func ofSession(r Right) rule         { return rule{right: r, object: session} }
func watching(then, live Right) rule { return rule{right: then, live: live, object: session} }
func approving(o object) rule {
	return rule{right: RightDelete, live: RightRelease, object: o, lists: o == nothing}
}
func machine(k Kind) rule { return rule{kind: k} }
func anybody() rule       { return rule{anybody: true} }

// methods returns the rule of every gRPC method.
func methods() map[string]rule {
	return map[string]rule{
		recfleetv1.SessionService_ListSessions_FullMethodName:   listing(RightList),
		recfleetv1.SessionService_WatchSessions_FullMethodName:  listing(RightList),
		recfleetv1.SessionService_GetSession_FullMethodName:     ofSession(RightList),
		recfleetv1.SessionService_StopSession_FullMethodName:    ofSession(RightStop),
		recfleetv1.SessionService_HoldSession_FullMethodName:    ofSession(RightHold),
		recfleetv1.SessionService_ReleaseSession_FullMethodName: ofSession(RightRelease),
		recfleetv1.SessionService_DeleteSession_FullMethodName:  ofSession(RightDelete),

		recfleetv1.RecordingService_ListRecordings_FullMethodName:    ofSession(RightList),
		recfleetv1.RecordingService_DownloadRecording_FullMethodName: ofSession(RightDownload),
		recfleetv1.RecordingService_GetManifest_FullMethodName:       ofSession(RightView),
		recfleetv1.RecordingService_GetManifestKey_FullMethodName:    {known: true},

		recfleetv1.JobService_ListJobs_FullMethodName: person(RightManage),
		recfleetv1.JobService_RetryJob_FullMethodName: person(RightManage),

		recfleetv1.FleetService_ListEncoders_FullMethodName: person(RightManage),
		recfleetv1.FleetService_DrainEncoder_FullMethodName: person(RightManage),
		recfleetv1.FleetService_ListAgents_FullMethodName:   person(RightManage),

		recfleetv1.PolicyService_TestPolicy_FullMethodName:      person(RightManage),
		recfleetv1.PolicyService_GetPolicySchema_FullMethodName: person(RightManage),

		recfleetv1.AuditService_ListAuditRecords_FullMethodName: person(RightAudit),
		recfleetv1.AuditService_VerifyAudit_FullMethodName:      person(RightAudit),

		recfleetv1.AccessService_GetSignIn_FullMethodName:   anybody(),
		recfleetv1.AccessService_WhoAmI_FullMethodName:      {known: true},
		recfleetv1.AccessService_CreateToken_FullMethodName: person(RightManage),
		recfleetv1.AccessService_ListTokens_FullMethodName:  person(RightManage),
		recfleetv1.AccessService_RevokeToken_FullMethodName: person(RightManage),

		recfleetv1.ApprovalService_ListApprovals_FullMethodName: approving(nothing),
		recfleetv1.ApprovalService_ApproveOrder_FullMethodName:  approving(order),
		recfleetv1.ApprovalService_RefuseOrder_FullMethodName:   approving(order),

		recfleetv1.AgentService_StartSession_FullMethodName: machine(KindAgent),
		recfleetv1.AgentService_ReportEvents_FullMethodName: machine(KindAgent),
		recfleetv1.AgentService_Sync_FullMethodName:         machine(KindAgent),
		recfleetv1.AgentService_EndSession_FullMethodName:   machine(KindAgent),

		recfleetv1.EnrollmentService_CreateEnrollment_FullMethodName:    person(RightManage),
		recfleetv1.EnrollmentService_ListEnrollments_FullMethodName:     person(RightManage),
		recfleetv1.EnrollmentService_RevokeEnrollment_FullMethodName:    person(RightManage),
		recfleetv1.EnrollmentService_ListEnrolledAgents_FullMethodName:  person(RightManage),
		recfleetv1.EnrollmentService_RevokeEnrolledAgent_FullMethodName: person(RightManage),
		// Who joins is known by what is in the request.
		recfleetv1.EnrollmentService_BeginEnroll_FullMethodName:      anybody(),
		recfleetv1.EnrollmentService_Enroll_FullMethodName:           anybody(),
		recfleetv1.EnrollmentService_RenewCertificate_FullMethodName: anybody(),

		recfleetv1.EncoderService_Sync_FullMethodName:        machine(KindEncoder),
		recfleetv1.EncoderService_CompleteJob_FullMethodName: machine(KindEncoder),
		recfleetv1.EncoderService_FailJob_FullMethodName:     machine(KindEncoder),

		grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName:      person(RightManage),
		grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: person(RightManage),

		grpc_health_v1.Health_Check_FullMethodName: anybody(),
		grpc_health_v1.Health_List_FullMethodName:  anybody(),
		grpc_health_v1.Health_Watch_FullMethodName: anybody(),
	}
}

// routes returns the rule of every route of the page.
func routes() map[string]rule {
	return map[string]rule{
		"GET /healthz": anybody(),
		"GET /readyz":  anybody(),
		"GET /static/": anybody(),
		"GET /login":   anybody(),
		"POST /login":  anybody(),
		"POST /logout": anybody(),

		"GET /login/oidc":     anybody(),
		"GET /login/callback": anybody(),

		"GET /{$}":                             listing(RightList),
		"GET /sessions/{id}":                   ofSession(RightList),
		"POST /sessions/{id}/reason":           ofSession(RightList),
		"GET /sessions/{id}/video/{number}":    watching(RightView, RightViewLive),
		"GET /sessions/{id}/download/{number}": ofSession(RightDownload),

		"GET /sessions/{id}/sprite/{number}":     watching(RightView, RightViewLive),
		"GET /sessions/{id}/thumbnails/{number}": watching(RightView, RightViewLive),
		"GET /sessions/{id}/audit":               ofSession(RightAudit),

		"/": {known: true}, // answers that there is nothing
	}
}
