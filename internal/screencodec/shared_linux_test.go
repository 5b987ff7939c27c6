package screencodec

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sharedMemory returns the same memory twice.
func sharedMemory(t *testing.T, size int) (a, b []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate("pictures", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*[]byte{&a, &b} {
		if *m, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Munmap(*m); err != nil {
				t.Error(err)
			}
		})
	}
	return a, b
}

// disturb writes pictures to pix, over and over and each from a random place to
// another, until done is set.
func disturb(pix []byte, pictures [][]byte, done *atomic.Bool) {
	r := rand.New(rand.NewPCG(3, 4))
	for !done.Load() {
		p := pictures[r.IntN(len(pictures))]
		from := r.IntN(len(p))
		to := from + r.IntN(len(p)-from)
		copy(pix[from:to], p[from:to])
	}
}

// Another process that writes to the picture while it is encoded makes nonsense
// of it, but the stream comes back as what the encoder believes it to be.
func TestPictureThatChangesWhileItIsEncoded(t *testing.T) {
	const width, height = 320, 203
	for _, name := range []string{"motion", "scroll", "drag", "moves"} {
		t.Run(name, func(t *testing.T) {
			pictures := movingPictures(width, height, 12)
			if name != "moves" {
				pictures = scenePictures(t, name, width, height, 12)
			}
			pix, theirs := sharedMemory(t, width*height*4)
			var done atomic.Bool
			var wg sync.WaitGroup
			defer wg.Wait()
			defer done.Store(true)
			wg.Go(func() { disturb(theirs, pictures, &done) })

			e, err := NewEncoder(Config{Width: width, Height: height, KeyInterval: 20})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := e.Begin(&out, start); err != nil {
				t.Fatal(err)
			}
			var want [][]byte
			for i := range 40 {
				if _, err := e.Encode(pix, time.Duration(i)*200*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				want = append(want, bytes.Clone(e.prev))
			}
			if err := e.End(time.Duration(len(want)) * 200 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			check(t, out.Bytes(), want)
		})
	}
}
