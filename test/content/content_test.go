package content_test

import (
	"bytes"
	"testing"

	"github.com/recfleet/recfleet/test/content"
)

func TestScenesAreDeterministic(t *testing.T) {
	for _, name := range content.Names() {
		a, err := content.Open(name, 320, 200)
		if err != nil {
			t.Fatal(err)
		}
		b, err := content.Open(name, 320, 200)
		if err != nil {
			t.Fatal(err)
		}
		pa, pb, last := make([]byte, a.Size()), make([]byte, a.Size()), make([]byte, a.Size())
		changed := 0
		for n := range 12 {
			a.Next(pa)
			b.Next(pb)
			if !bytes.Equal(pa, pb) {
				t.Fatalf("%s: frame %d differs between two runs", name, n)
			}
			if !bytes.Equal(pa, last) {
				changed++
			}
			copy(last, pa)
			for i := 3; i < len(pa); i += 4 {
				if pa[i] != 0 {
					t.Fatalf("%s: frame %d: fourth byte of pixel %d is %d", name, n, i/4, pa[i])
				}
			}
		}
		if changed < 3 {
			t.Errorf("%s: only %d of 12 frames differ from the one before", name, changed)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := content.Open("nothing", 320, 200); err == nil {
		t.Error("unknown scene was opened")
	}
	if _, err := content.Open("idle", 10, 10); err == nil {
		t.Error("a desktop of 10x10 was opened")
	}
}
