package access

import "slices"

// Right is what somebody may do. Those about sessions may be limited to a scope; the others are about the whole installation.
type Right string

// The rights.
const (
	RightList     Right = "list"      // find sessions, read what is known of them
	RightViewLive Right = "view-live" // watch what is recorded of a session that goes on
	RightView     Right = "view"      // watch recordings and read manifests of sessions whose capture is over
	RightDownload Right = "download"  // take mp4s away
	RightStop     Right = "stop"      // end a recording
	RightHold     Right = "hold"      // keep recordings from being deleted
	RightRelease  Right = "release"   // end a hold
	RightDelete   Right = "delete"    // delete recordings
	RightManage   Right = "manage"    // agents, encoders, jobs, policy, tokens
	RightAudit    Right = "audit"     // read who did what
)

// Rights returns all rights.
func Rights() []Right {
	return []Right{
		RightList, RightViewLive, RightView, RightDownload, RightStop, RightHold, RightRelease, RightDelete, RightManage, RightAudit,
	}
}

// Scoped reports whether the right is about sessions, so that it may be limited to some of them.
func (r Right) Scoped() bool {
	return r != RightManage && r != RightAudit && slices.Contains(Rights(), r)
}
