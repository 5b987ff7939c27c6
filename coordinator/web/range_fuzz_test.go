package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/object"
)

// tape is an archive of one object.
type tape []byte

func (t tape) GetVersion(_ context.Context, _, _ string, offset, _ int64) (io.ReadCloser, object.Info, error) {
	if offset < 0 || offset > int64(len(t)) {
		return nil, object.Info{}, object.ErrRange
	}
	return io.NopCloser(bytes.NewReader(t[offset:])), object.Info{Bytes: int64(len(t))}, nil
}

// Whatever part of a recording is asked for, the answer is that part, the whole, or that there is no such part.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=5-9", "bytes=-3", "bytes=0-0,2-3", "bytes=9999-", "bytes=3-1", "octets=1", "bytes=-", "bytes=18446744073709551616-", ""} {
		f.Add(seed, "")
	}
	f.Add("bytes=1-2", `"x"`)
	content := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	f.Fuzz(func(t *testing.T, ranges, condition string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{"Range": {ranges}, "If-Range": {condition}}
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"x"`)
		file := &objectFile{ctx: r.Context, objects: tape(content), size: int64(len(content))}
		http.ServeContent(w, r, "a.mp4", time.Unix(1e9, 0), file)
		file.Close()
		body := w.Body.Bytes()
		switch w.Code {
		case http.StatusOK:
			if !bytes.Equal(body, content) {
				t.Errorf("%q: %q", ranges, body)
			}
		case http.StatusPartialContent:
			if w.Header().Get("Content-Range") != "" && !bytes.Contains(content, body) {
				t.Errorf("%q: %q", ranges, body)
			}
		case http.StatusRequestedRangeNotSatisfiable:
		default:
			t.Errorf("%q: %d", ranges, w.Code)
		}
		if file.failed != nil {
			t.Errorf("%q: %v", ranges, file.failed)
		}
	})
}
