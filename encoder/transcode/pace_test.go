package transcode

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// moment is a picture as pace sees it.
type moment struct {
	at      int // milliseconds
	changed bool
}

// paced returns the times of the frames that pace makes of pictures, keyframes negative but for the first.
func paced(p pace, pictures []moment) (frames []int) {
	changed := false
	for i, m := range pictures {
		next := forever
		if i+1 < len(pictures) {
			next = ms(pictures[i+1].at)
		}
		changed = changed || m.changed
		frame, key := p.decide(ms(m.at), next, changed)
		if !frame {
			continue
		}
		changed = false
		if key {
			m.at = -m.at
		}
		frames = append(frames, m.at)
	}
	return frames
}

// every returns pictures that are step apart from from to to.
func every(step, from, to int, changed bool) (m []moment) {
	for at := from; at <= to; at += step {
		m = append(m, moment{at, changed})
	}
	return m
}

func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		pace     pace
		pictures []moment
		want     []int
	}{
		"all differ":          {pictures: every(400, 0, 1200, true), want: []int{0, 400, 800, 1200}},
		"one picture":         {pictures: every(400, 0, 0, true), want: []int{0}},
		"still":               {pictures: every(200, 0, 5000, false), want: []int{0, 2000, 4000, 5000}},
		"still for long":      {pictures: every(200, 0, 11000, false), want: []int{0, 2000, 4000, 6000, 8000, -10000, 11000}},
		"before a hole":       {pictures: append(every(200, 0, 600, false), every(200, 6000, 6400, true)...), want: []int{0, 600, 6000, 6200, 6400}},
		"key before a hole":   {pictures: append(every(1000, 0, 4000, true), every(1000, 10500, 12500, true)...), want: []int{0, 1000, 2000, 3000, -4000, 10500, 11500, 12500}},
		"hole beyond any key": {pictures: append(every(1000, 0, 1000, true), every(1000, 30000, 31000, true)...), want: []int{0, 1000, -30000, 31000}},
		"uneven":              {pictures: every(3300, 0, 13200, true), want: []int{0, 3300, 6600, -9900, 13200}},
		"slower":              {pace: pace{step: ms(500)}, pictures: every(200, 0, 2000, true), want: []int{0, 600, 1000, 1600, 2000}},
		"slower, last state":  {pace: pace{step: time.Second}, pictures: append(every(100, 0, 300, true), every(100, 400, 1500, false)...), want: []int{0, 1000, 1500}},
	} {
		c.pace.keyframes, c.pace.still = 10*time.Second, 2*time.Second
		if got := paced(c.pace, c.pictures); !slices.Equal(got, c.want) {
			t.Errorf("%s: frames at %v, want %v", name, got, c.want)
		}
	}
}

func TestKeyframesAndFramesAreNeverTooFarApart(t *testing.T) {
	for _, step := range []int{16, 33, 70, 200, 333, 500, 1000} {
		for _, changed := range []bool{true, false} {
			p := pace{keyframes: 10 * time.Second, still: 2 * time.Second}
			last, key := 0, 0
			for _, at := range paced(p, every(step, 0, 61000, changed)) {
				if at < 0 {
					at = -at
					if at-key > 10000 {
						t.Errorf("step %d: keyframe at %d after %d", step, at, key)
					}
					key = at
				}
				if at-last > 2000 {
					t.Errorf("step %d: frame at %d after %d", step, at, last)
				}
				last = at
			}
			if last-key > 10000 {
				t.Errorf("step %d: frame at %d after keyframe %d", step, last, key)
			}
		}
	}
}

func TestStillPicturesAreLeftOut(t *testing.T) {
	f := film{width: 64, height: 48}
	other := flatFilm(64, 48, 0).pix[0]
	for i := range 100 {
		pix := make([]byte, 64*48*4)
		if i >= 50 {
			pix = other
		}
		f.at, f.pix = append(f.at, time.Duration(i)*ms(200)), append(f.pix, pix)
	}
	cfg := f.config(t)
	made, err := Run(t.Context(), cfg, f.next())
	if err != nil {
		t.Fatal(err)
	}
	pts, keys := packets(t, cfg.Path)
	if want := "[0 2000 4000 6000 8000 10000 12000 14000 16000 18000 19800]"; fmt.Sprint(pts) != want || !keys[5] {
		t.Errorf("frames at %v, keyframes %v, want %s", pts, keys, want)
	}
	if len(made.Frames) != len(pts) || made.Frames[5] != (Frame{At: 10 * time.Second, Key: true}) {
		t.Errorf("announced: %v", made.Frames)
	}
}
