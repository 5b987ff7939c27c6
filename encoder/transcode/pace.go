package transcode

import "time"

// pace decides which pictures become frames of the mp4, and which of them keyframes. A decision on one needs the time of the
// next. What always holds: every state of the desktop that stays long enough for the frame rate is in a frame at the time
// at which it came; the first and the last picture are frames.
type pace struct {
	keyframes time.Duration // most between keyframes
	still     time.Duration // most between frames while nothing changes
	step      time.Duration // least between frames; 0 leaves none out

	handed bool // there is a frame
	last   time.Duration
	key    time.Duration // the last keyframe
	due    time.Duration // when step allows the next frame
}

// forever is when a picture comes after the last one.
const forever = time.Duration(1<<63 - 1)

// decide says what becomes of the picture at at, of which changed says whether it differs from the last frame. next is the
// time of the picture after it.
func (p *pace) decide(at, next time.Duration, changed bool) (frame, key bool) {
	switch {
	case !p.handed, at-p.key >= p.keyframes:
		key = true
	case next != forever && next-p.key > p.keyframes && next-at <= p.keyframes:
		key = true // the next one would come too late
	}
	early := p.step > 0 && p.handed && at+tick < p.due
	frame = key || next == forever || changed && !early || next-p.last > p.still && at > p.last
	if !frame {
		return false, false
	}
	p.handed, p.last = true, at
	if key {
		p.key = at
	}
	if p.due += p.step; p.due < at {
		p.due = at + p.step
	}
	return true, key
}
