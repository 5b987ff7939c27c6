package worker

import (
	"errors"
	"io"
	"time"

	"github.com/recfleet/recfleet/encoder/transcode"
	"github.com/recfleet/recfleet/internal/screencodec"
)

// pictures decodes the stream for transcode.
type pictures struct {
	source   Source
	stream   io.Reader
	small    *thumbnails
	decoder  *screencodec.Decoder
	frames   int64
	progress func(int64)
}

// next returns the next picture, or io.EOF when the stream is over and was checked to its end.
func (p *pictures) next() (transcode.Picture, error) {
	if p.decoder == nil {
		if err := p.open(); err != nil {
			return transcode.Picture{}, err
		}
	}
	p.progress(p.frames)
	frame, err := p.decoder.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, screencodec.ErrTruncated) && p.frames == p.source.Frames:
		// The stream of an agent that was lost has no end record, but it has every frame that was announced.
		return transcode.Picture{}, p.drain()
	case err != nil:
		return transcode.Picture{}, decodeFailure(err)
	}
	p.frames++
	p.small.see(frame.Pix, frame.At)
	picture := transcode.Picture{Pix: frame.Pix, At: frame.At, Same: frame.Kind == screencodec.KindRepeat, Changed: frame.Changed}
	return picture, nil
}

func (p *pictures) open() error {
	s := p.source
	d, err := screencodec.NewDecoder(p.stream, screencodec.Limits{
		MaxWidth: s.Width, MaxHeight: s.Height, MaxFrames: int(s.Frames), MaxDuration: s.Duration + time.Second,
	})
	if err != nil {
		return decodeFailure(err)
	}
	h := d.Header()
	if h.Width != s.Width || h.Height != s.Height {
		return failure(Content, "decode header: pictures of %dx%d instead of %dx%d", h.Width, h.Height, s.Width, s.Height)
	}
	if (h.Start.Sub(s.Start)).Abs() > time.Millisecond {
		return failure(Content, "decode header: it starts at %v instead of %v", h.Start, s.Start)
	}
	p.decoder = d
	return nil
}

// drain waits until fetch has checked the last chunk, so that FFmpeg is told of the end only after that.
func (p *pictures) drain() error {
	n, err := io.Copy(io.Discard, p.stream)
	switch {
	case err != nil:
		return decodeFailure(err)
	case n > 0:
		return failure(Content, "decode segment: %d bytes come after its end", n)
	}
	return io.EOF
}

// decodeFailure keeps what fetch found, which comes through the decoder, apart from what the decoder found.
func decodeFailure(err error) error {
	var known *Failure
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, screencodec.ErrVersion): // a newer encoder can do it
		return &Failure{Encoder, err}
	}
	return &Failure{Content, err}
}
