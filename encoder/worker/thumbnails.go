package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"path"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/object"
)

const (
	// A thumbnail is as large as fits into this, and they stand in rows of so many.
	thumbnailWidth, thumbnailHeight = 160, 90
	thumbnailRow                    = 10
	thumbnailQuality                = 75
)

// thumbnails makes small pictures of a segment from those that pass by.
type thumbnails struct {
	wanted        bool
	interval      time.Duration
	width, height int // of the desktop
	size          image.Point
	pictures      []*image.RGBA
	starts        []time.Duration // from when each stands for the desktop
}

func newThumbnails(job Job) *thumbnails {
	s := job.Source
	scale := min(1, float64(thumbnailWidth)/float64(s.Width), float64(thumbnailHeight)/float64(s.Height))
	size := image.Pt(max(1, int(float64(s.Width)*scale)), max(1, int(float64(s.Height)*scale)))
	return &thumbnails{wanted: job.SpriteKey != "", interval: job.Settings.ThumbnailInterval, width: s.Width, height: s.Height, size: size}
}

// see takes the first picture of each interval, in BGR0.
func (t *thumbnails) see(pix []byte, at time.Duration) {
	if !t.wanted || len(t.starts) > 0 && at < t.starts[len(t.starts)-1]+t.interval {
		return
	}
	t.starts = append(t.starts, at.Truncate(t.interval))
	t.pictures = append(t.pictures, t.shrink(pix))
}

// shrink returns the picture at the thumbnails' size: every pixel is the mean of those that it stands for.
func (t *thumbnails) shrink(pix []byte) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: t.size})
	for y := range t.size.Y {
		y0, y1 := y*t.height/t.size.Y, (y+1)*t.height/t.size.Y
		for x := range t.size.X {
			x0, x1 := x*t.width/t.size.X, (x+1)*t.width/t.size.X
			var r, g, b, n int
			for sy := y0; sy < y1; sy++ {
				row := pix[(sy*t.width+x0)*4 : (sy*t.width+x1)*4]
				for ; len(row) >= 4; row = row[4:] {
					b, g, r, n = b+int(row[0]), g+int(row[1]), r+int(row[2]), n+1
				}
			}
			at := out.Pix[out.PixOffset(x, y):]
			at[0], at[1], at[2], at[3] = byte((r+n/2)/n), byte((g+n/2)/n), byte((b+n/2)/n), 0xFF
		}
	}
	return out
}

// place is where a thumbnail stands in the sprite.
func (t *thumbnails) place(i int) image.Rectangle {
	at := image.Pt(i%thumbnailRow*t.size.X, i/thumbnailRow*t.size.Y)
	return image.Rectangle{Min: at, Max: at.Add(t.size)}
}

// sprite returns all of them in one JPEG.
func (t *thumbnails) sprite() ([]byte, error) {
	n := len(t.pictures)
	all := image.NewRGBA(image.Rect(0, 0, min(n, thumbnailRow)*t.size.X, (n+thumbnailRow-1)/thumbnailRow*t.size.Y))
	for i, p := range t.pictures {
		draw.Draw(all, t.place(i), p, image.Point{}, draw.Src)
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, all, &jpeg.Options{Quality: thumbnailQuality}); err != nil {
		return nil, fmt.Errorf("write sprite: %w", err)
	}
	return out.Bytes(), nil
}

// index returns the WebVTT file that finds them in the sprite of a name (W3C Media Fragments, xywh).
func (t *thumbnails) index(name string, end time.Duration) []byte {
	var b strings.Builder
	b.WriteString("WEBVTT\n")
	for i, start := range t.starts {
		next := end
		if i+1 < len(t.starts) {
			next = t.starts[i+1]
		}
		p := t.place(i)
		fmt.Fprintf(&b, "\n%s --> %s\n%s#xywh=%d,%d,%d,%d\n", stamp(start), stamp(max(next, start+time.Millisecond)), name, p.Min.X, p.Min.Y, p.Dx(), p.Dy())
	}
	return []byte(b.String())
}

// stamp writes a time as WebVTT does.
func stamp(at time.Duration) string {
	ms := at.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}

// archiveThumbnails puts both objects beside the mp4.
func (w *Worker) archiveThumbnails(ctx context.Context, job Job, t *thumbnails, result Result) (Result, error) {
	if !t.wanted {
		return result, nil
	}
	sprite, err := t.sprite()
	if err != nil {
		return Result{}, &Failure{Content, err}
	}
	index := t.index(path.Base(job.SpriteKey), job.Source.Duration)
	for _, f := range []struct {
		key, contentType string
		body             []byte
		to               *File
	}{{job.SpriteKey, "image/jpeg", sprite, &result.Sprite}, {job.ThumbnailIndexKey, "text/vtt", index, &result.ThumbnailIndex}} {
		*f.to = File{Key: f.key, Bytes: int64(len(f.body)), SHA256: sha256.Sum256(f.body)}
		if f.to.Version, err = w.put(ctx, f.key, bytes.NewReader(f.body), object.PutOptions{ContentType: f.contentType, SHA256: f.to.SHA256}); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}
