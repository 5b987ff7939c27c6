package join

import (
	"context"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// cardRate is a card's frames a second.
const cardRate = 5

// cardLength rounds to whole frames, at least one.
func cardLength(d time.Duration) time.Duration {
	const frame = time.Second / cardRate
	return max(d.Round(frame), frame)
}

// cards makes the parts of cards.
func (j *joiner) cards(ctx context.Context, parts []part) ([]part, error) {
	for i, p := range j.Pieces {
		if p.Path != "" {
			continue
		}
		picture, err := card(j.width, j.height, p.Lines)
		if err != nil {
			return nil, fmt.Errorf("draw card: %w", err)
		}
		lasts := cardLength(p.Lasts)
		frames := int64(lasts * cardRate / time.Second)
		out := filepath.Join(j.Work, fmt.Sprintf("card-%06d.mp4", i+1))
		input := []string{
			"-protocol_whitelist", "pipe,file", "-f", "rawvideo", "-pix_fmt", "gray", "-s", fmt.Sprintf("%dx%d", j.width, j.height),
			"-framerate", strconv.Itoa(cardRate), "-i", "pipe:0",
		}
		m, err := j.encode(ctx, input, func(w io.Writer) error {
			for range frames {
				if _, err := w.Write(picture.Pix); err != nil {
					return err
				}
			}
			return nil
		}, frames, lasts, out)
		if err != nil {
			return nil, fmt.Errorf("make card: %w", err)
		}
		parts[i] = part{out, m}
	}
	return parts, nil
}

// Of a card's height and width.
const (
	linesOnCard = 16
	widthOfText = 0.9
)

// card draws lines of white text in the middle of a black picture, as large as fits.
func card(width, height int, lines []string) (*image.Gray, error) {
	picture := image.NewGray(image.Rect(0, 0, width, height))
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	size := max(float64(height)/linesOnCard, 4)
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	defer face.Close()
	widest := 1
	for _, l := range lines {
		widest = max(widest, font.MeasureString(face, l).Ceil())
	}
	if room := float64(width) * widthOfText; float64(widest) > room {
		size = max(size*room/float64(widest), 4)
		smaller, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return nil, err
		}
		defer smaller.Close()
		face = smaller
	}
	step := int(size * 1.5)
	y := (height-step*len(lines))/2 + step*3/4
	for _, l := range lines {
		d := font.Drawer{Dst: picture, Src: image.White, Face: face}
		d.Dot = fixed.P((width-font.MeasureString(face, l).Ceil())/2, y)
		d.DrawString(l)
		y += step
	}
	return picture, nil
}
