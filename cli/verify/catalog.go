package verify

import (
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/manifest"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Agree returns where the catalog's word on a session is not the manifest's.
func Agree(m manifest.Manifest, s *recfleetv1.Session) []Problem {
	var p problems
	state := strings.ToLower(strings.TrimPrefix(s.GetState().String(), "SESSION_STATE_"))
	if state != m.Session.State {
		p.add(Catalog, 0, "the session is %s, in the manifest %s", state, m.Session.State)
	}
	if !same(s.GetStartTime(), m.Session.Start) || !same(s.GetEndTime(), m.Session.End) {
		p.add(Catalog, 0, "the session is from %s to %s, in the manifest from %s to %s",
			stamp(s.GetStartTime().AsTime()), stamp(s.GetEndTime().AsTime()), stamp(m.Session.Start), stamp(m.Session.End))
	}
	if s.GetUser() != m.Session.User || s.GetInstance() != m.Session.Instance {
		p.add(Catalog, 0, "the session's user or instance is another one than in the manifest")
	}
	listed := map[int]manifest.Segment{}
	for _, g := range m.Segments {
		listed[g.Number] = g
	}
	for _, c := range s.GetSegments() {
		n := int(c.GetNumber())
		g, ok := listed[n]
		if !ok {
			p.add(Catalog, n, "it is not in the manifest")
			continue
		}
		delete(listed, n)
		agreeSegment(g, c, &p)
	}
	for _, g := range m.Segments {
		if _, left := listed[g.Number]; left {
			p.add(Catalog, g.Number, "it is in the manifest alone")
		}
	}
	agreeGaps(m, s, &p)
	return p
}

func agreeSegment(g manifest.Segment, c *recfleetv1.Segment, p *problems) {
	state := strings.ToLower(strings.TrimPrefix(c.GetState().String(), "SEGMENT_STATE_"))
	again := g.State == manifest.Quarantined && (state == "sealed" || state == "encoding") // somebody has it tried again
	switch {
	case g.State == manifest.Quarantined && state == manifest.Archived:
		p.add(Catalog, g.Number, "it was archived after this manifest was written, and no manifest tells of it")
		return
	case state != g.State && !again:
		p.add(Catalog, g.Number, "it is %s, in the manifest %s", state, g.State)
	case !same(c.GetStartTime(), g.Start) || !same(c.GetEndTime(), g.End):
		p.add(Catalog, g.Number, "its times are others than in the manifest")
	case int(c.GetEpoch()) != g.Epoch || int(c.GetWidth()) != g.Width || int(c.GetHeight()) != g.Height:
		p.add(Catalog, g.Number, "its epoch or size is another one than in the manifest")
	case c.GetFrameCount() != g.Frames || int(c.GetChunkCount()) != g.Chunks || c.GetCapturedBytes() != g.CapturedBytes:
		p.add(Catalog, g.Number, "it has %d frames, %d chunks and %d captured bytes, in the manifest %d, %d and %d",
			c.GetFrameCount(), c.GetChunkCount(), c.GetCapturedBytes(), g.Frames, g.Chunks, g.CapturedBytes)
	}
	r, o := c.GetRecording(), g.Object
	switch {
	case r == nil && o == nil:
	case r == nil || o == nil:
		p.add(Catalog, g.Number, "only one of catalog and manifest has an object for it")
	case r.GetObjectKey() != o.Key:
		p.add(Catalog, g.Number, "its object is %q, in the manifest %q", r.GetObjectKey(), o.Key)
	case hex.EncodeToString(r.GetSha256()) != o.SHA256:
		p.add(Catalog, g.Number, "its object's SHA-256 is %x, in the manifest %s", r.GetSha256(), o.SHA256)
	case r.GetBytes() != o.Bytes:
		p.add(Catalog, g.Number, "its object has %d bytes, in the manifest %d", r.GetBytes(), o.Bytes)
	case r.GetFrameCount() != o.Frames || int(r.GetWidth()) != o.Width || int(r.GetHeight()) != o.Height:
		p.add(Catalog, g.Number, "its object's frames or size are others than in the manifest")
	case !sameThumbnails(r.GetThumbnails(), o.Thumbnails):
		p.add(Catalog, g.Number, "its thumbnails are others than in the manifest")
	}
}

// sameThumbnails compares keys, sizes and hashes.
func sameThumbnails(c *recfleetv1.Thumbnails, m *manifest.Thumbnails) bool {
	if c == nil || m == nil {
		return c == nil && m == nil
	}
	same := func(o *recfleetv1.ArchivedObject, f manifest.File) bool {
		return o.GetObjectKey() == f.Key && o.GetBytes() == f.Bytes && hex.EncodeToString(o.GetSha256()) == f.SHA256
	}
	return same(c.GetSprite(), m.Sprite) && same(c.GetIndex(), m.Index)
}

func agreeGaps(m manifest.Manifest, s *recfleetv1.Session, p *problems) {
	type gap struct {
		start, end int64
		cause      string
	}
	count := map[gap]int{}
	for _, g := range m.Gaps {
		count[gap{g.Start.UnixNano(), g.End.UnixNano(), g.Cause}]++
	}
	for _, g := range s.GetGaps() {
		key := gap{g.GetStartTime().AsTime().UnixNano(), g.GetEndTime().AsTime().UnixNano(), g.GetCause()}
		if count[key]--; count[key] < 0 {
			p.add(Catalog, 0, "the gap of %s (%s) is not in the manifest", stamp(g.GetStartTime().AsTime()), g.GetCause())
		}
	}
	for _, g := range m.Gaps {
		key := gap{g.Start.UnixNano(), g.End.UnixNano(), g.Cause}
		if count[key] > 0 {
			count[key]--
			p.add(Catalog, 0, "the gap of %s (%s) is in the manifest alone", stamp(g.Start), g.Cause)
		}
	}
}

func same(a *timestamppb.Timestamp, b time.Time) bool { return a.AsTime().Equal(b) }
