package evidence

import (
	"fmt"
	"strings"
)

// Sentence says in words what a record is about. The names in it are as they came.
func (r Record) Sentence() string {
	object, part := r.Object, ""
	if r.Span != (Span{}) {
		part = " (" + r.Span.String() + ")"
	}
	var what string
	switch session, segment, _ := strings.Cut(object, "."); r.Action {
	case "recording.play":
		what = fmt.Sprintf("played %s video%s", session, part)
	case "recording.preview":
		what = fmt.Sprintf("saw thumbnails of %s%s", session, part)
	case "recording.download":
		what = fmt.Sprintf("downloaded %s video of segment %s%s", session, segment, part)
	case "session.download":
		what = fmt.Sprintf("downloaded entire session: %s%s", session, part)
	case "manifest.read":
		what = "read the manifest of session " + session
	case "session.view":
		what = "looked at session " + session
	case "session.stop":
		what = "stopped session " + session
	case "session.hold":
		what = "held session " + session
	case "session.release":
		what = "released session " + session
	case "session.delete":
		what = "deleted session " + session
	case "job.retry":
		what = "retried job " + object
	case "encoder.drain":
		what = "had encoder " + object + " take no more work"
	case "encoder.resume":
		what = "had encoder " + object + " take work again"
	case "approval.ask":
		what = "asked for a second person about session " + object
	case "approval.approve":
		what = "approved order " + object
	case "approval.refuse":
		what = "refused order " + object
	case "token.create":
		what = "made token " + object
	case "token.revoke":
		what = "revoked token " + object
	case "enrollment.create":
		what = "made enrollment " + object
	case "enrollment.revoke":
		what = "revoked enrollment " + object
	case "agent.revoke":
		what = "revoked agent " + object
	case "agent.enroll":
		what = "enrolled agent " + object
	default:
		what = strings.TrimSpace(r.Action + " " + object)
	}
	switch r.Result {
	case "ok", "":
	case "refused":
		what += ", refused"
	default:
		what += ", refused: " + r.Result
	}
	if r.Times > 0 {
		what += fmt.Sprintf(" (%d times)", r.Times)
	}
	return fmt.Sprintf("%s %s", r.who(), what)
}

func (r Record) who() string {
	if r.Who == "" {
		return "somebody"
	}
	return r.Who
}
