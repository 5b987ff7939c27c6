package agent

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/screencodec"
)

// Status says what the agent does.
func (a *Agent) Status() control.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := control.Status{
		State: control.StateStarting, PID: os.Getpid(), AgentVersion: a.cfg.Version, Display: a.cfg.Display, User: a.cfg.User,
		StartTime: a.line.Start(), SpoolDir: a.cfg.SpoolDir, RecordingMode: string(a.cfg.Mode),
	}
	if a.spool != nil {
		st.SpooledBytes, st.EarlierSessions = a.spool.Bytes(), len(a.spool.Left())
		if a.resumed != nil {
			st.EarlierSessions--
		}
	}
	if a.cfg.Supervisor != nil {
		st.SupervisorPID = a.cfg.Supervisor()
	}
	if a.up != nil {
		st.SessionID = a.session.Registration().SessionID
		st.Registered = st.SessionID != ""
		st.Frames, st.LastFrameTime = a.before.count(a.capture)
		if a.capture != nil {
			if g := a.capture.Geometry(); g != nil {
				st.Width, st.Height = g.Width, g.Height
			}
		}
		for _, g := range a.session.Segments() {
			st.Segments++
			if g.State != spool.StateFreed {
				st.AwaitingReceipt++
			}
		}
		st.PublishedChunks, st.ReportedEvents = a.up.counts()
	}
	if a.cfg.SendOnly {
		st.State, st.RecordingMode = control.StateSending, ""
	}
	select {
	case <-a.durable:
		st.State = control.StateRecording
	default:
	}
	select {
	case <-a.stopping:
		st.State = control.StateStopping
	default:
	}
	return st
}

// geometryOf converts a display's geometry.
func geometryOf(g x11.Geometry) spool.Geometry {
	out := spool.Geometry{Width: g.Width, Height: g.Height}
	for _, m := range g.Monitors {
		out.Monitors = append(out.Monitors, spool.Monitor{Name: m.Name, X: m.X, Y: m.Y, Width: m.Width, Height: m.Height, Primary: m.Primary})
	}
	return out
}

// scan finds the whole frames of a segment that was cut off anywhere.
func scan(r io.Reader) (spool.Prefix, error) {
	s, err := screencodec.Scan(r)
	switch {
	case errors.Is(err, screencodec.ErrTruncated) || errors.Is(err, screencodec.ErrCorrupt):
		return spool.Prefix{}, nil
	case err != nil:
		return spool.Prefix{}, err
	}
	return spool.Prefix{Bytes: s.Valid, Frames: int64(s.Frames), Last: s.Last}, nil
}

// osName returns the name of the operating system's release.
func osName() string {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "linux"
	}
	defer func() { _ = f.Close() }()
	return prettyName(f)
}

func prettyName(release io.Reader) string {
	for lines := bufio.NewScanner(release); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "linux"
}
