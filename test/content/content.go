// Package content draws desktops: deterministic sequences of pictures with
// the things people have on their screens, for benchmarks and tests that need
// many frames and may not depend on a running X server.
//
// What comes in is the name of a scene and a picture size; what goes out is
// one frame after the other as BGR0 rows (4 bytes a pixel, the fourth 0).
// The same name and size always give the same frames on one kind of machine.
// Time passes in steps of Interval.
//
// The text is anti-aliased (some of it per subpixel), photos and films carry
// sensor noise, windows have gradients and shadows: the pictures are meant to
// be as hard to compress as the real ones.
package content

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Interval is the time between two frames of every scene.
const Interval = 200 * time.Millisecond

// A Source draws the frames of one scene. It is not safe for concurrent use.
type Source struct {
	desk  *desktop
	scene scene
	next  int
}

// A scene changes the desktop to what it shows at frame n; it is called for
// n = 0, 1, 2 and so on.
type scene interface {
	step(d *desktop, n int)
}

// Names returns the names that Open takes, sorted.
func Names() []string {
	return []string{"drag", "idle", "mixed", "motion", "scroll", "terminal", "typing", "video"}
}

// Open prepares the scene called name at width by height pixels.
func Open(name string, width, height int) (*Source, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("open scene %s: no such scene", name)
	}
	if width < 64 || height < 64 {
		return nil, fmt.Errorf("open scene %s: %dx%d is smaller than 64x64", name, width, height)
	}
	d := newDesktop(width, height)
	return &Source{desk: d, scene: newScene(name, d)}, nil
}

// Size returns the bytes of one frame.
func (s *Source) Size() int { return len(s.desk.back.pix) }

// Next draws the next frame into dst, which holds Size bytes.
func (s *Source) Next(dst []byte) {
	s.scene.step(s.desk, s.next)
	s.next++
	s.desk.compose(dst)
}

// newRand returns the generator of everything random in this package.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x5eed)) }
