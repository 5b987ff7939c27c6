package catalog

import (
	"fmt"
	"time"
)

// Job is the encoding of one segment.
type Job struct {
	ID         string // JobID(Session, Segment)
	Session    string
	Segment    int
	State      JobState
	Generation int64 // grows with every lease
	Failures   int   // attempts that failed on content
	Setbacks   int   // attempts that failed on anything else since the last lease that did not
	Rescues    int   // leases that ran out
	Created    time.Time
	Available  time.Time // not before
	LeaseEnd   time.Time // zero where it is not leased
	FramesDone int64     // pictures of the present attempt, or of the last one, as its encoder last said
	Encoder    string    // the one that holds or held the last lease
	Detail     string    // of the last failure
	Priority   Priority
	Pool       string // the label of the encoders that it is for; empty for any

	turn int64 // among the jobs of its pool and priority
}

// JobID names the job of a segment.
func JobID(session string, segment int) string { return fmt.Sprintf("%s.%d", session, segment) }

// JobState is where a job stands. Jobs are never thrown away.
type JobState string

// The states of a job; the comments say who moves it on.
const (
	JobAvailable   JobState = "available"   // an encoder that leases it
	JobRunning     JobState = "running"     // the encoder's report, or the rescue of a lease that ran out
	JobRetryable   JobState = "retryable"   // an encoder that leases it, once its time has come
	JobCompleted   JobState = "completed"   // final: the mp4 is in the archive
	JobQuarantined JobState = "quarantined" // an administrator's retry; it failed on its content, or its leases ran out, too often
)

// Become returns nil where a job may go from s to next, and ErrTransition otherwise. It is the whole machine.
func (s JobState) Become(next JobState) error {
	ok := false
	switch s {
	case JobAvailable, JobRetryable:
		ok = next == JobRunning
	case JobRunning:
		ok = next == JobCompleted || next == JobRetryable || next == JobQuarantined || next == JobAvailable
	case JobQuarantined:
		ok = next == JobAvailable
	case JobCompleted:
	}
	if !ok {
		return fmt.Errorf("job from %q to %q: %w", s, next, ErrTransition)
	}
	return nil
}

// Leased is a job together with what its encoder needs.
type Leased struct {
	Job           Job
	Seal          Seal
	FrameRate     int
	Encode        Encode // as the session's policy says
	ArchivePrefix string
}
