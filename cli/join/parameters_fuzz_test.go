package join

import (
	"bytes"
	"testing"
)

// What is found of how to decode a video is a part of its file, and says which version it is of.
func FuzzFindBox(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x10avcC\x01abcdefg\x00\x00\x00\x0favcC\x01abcdef"))
	f.Add([]byte("avcCavcC\xff\xff\xff\xffavcC\x01"))
	f.Add([]byte("\x00\x00\x00\x00avcC\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if box := findBox(raw); box != nil && (len(box) < 7 || len(box) > 4096 || box[0] != 1 || !bytes.Contains(raw, box)) {
			t.Errorf("%x in %x", box, raw)
		}
	})
}
