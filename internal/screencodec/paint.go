package screencodec

import (
	"encoding/binary"
	"fmt"
)

// paint draws the tiles from d.raw, but for the photos, which it lists.
func (d *Decoder) paint() error {
	d.photos, d.kinds = d.photos[:0], d.kinds[:0]
	b := d.raw
	for _, i := range d.list {
		if len(b) == 0 {
			return fmt.Errorf("tile %d: missing: %w", i, ErrCorrupt)
		}
		mode := b[0]
		b = b[1:]
		r := d.geometry.tile(int(i))
		ok := true
		if mode&tileBox != 0 {
			r, b, ok = takeBox(r, b)
		}
		if ok {
			b, ok = d.paintTile(mode&^tileBox, r, b)
		}
		if !ok {
			return fmt.Errorf("tile %d: mode %#x: %w", i, mode, ErrCorrupt)
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("tile data: %d bytes too many: %w", len(b), ErrCorrupt)
	}
	return nil
}

// takeBox reads the part of tile r that a mode is limited to.
func takeBox(r rect, b []byte) (rect, []byte, bool) {
	if len(b) < 4 {
		return r, nil, false
	}
	x, y, w, h := int(b[0]), int(b[1]), int(b[2])+1, int(b[3])+1
	if x+w > r.w || y+h > r.h {
		return r, nil, false
	}
	return rect{r.x + x, r.y + y, w, h}, b[4:], true
}

// paintTile draws r and returns what follows its data.
func (d *Decoder) paintTile(mode byte, r rect, b []byte) ([]byte, bool) {
	g := d.geometry
	switch mode {
	case tileKeep:
		return b, true
	case tileSolid:
		return g.paintSolid(d.pix, r, b)
	case tilePalette:
		return d.palette.paint(g, d.pix, r, b)
	case tilePlain:
		return g.paintPlain(d.pix, r, b)
	}
	p := photo{at: r, predictor: int(mode&^tileMotion) - tilePhoto, coded: r.area()}
	if p.predictor < 0 || p.predictor >= predictors {
		return nil, false
	}
	if mode&tileMotion != 0 {
		var okX, okY, ok bool
		p.motion = true
		p.distance.dx, b, okX = takeDistance(b)
		p.distance.dy, b, okY = takeDistance(b)
		if !d.motion || !okX || !okY || !g.contains(p.from()) {
			return nil, false
		}
		if d.kinds, b, ok = p.takeKinds(d.kinds, b); !ok {
			return nil, false
		}
	}
	d.photos = append(d.photos, p)
	return b, true
}

func takeDistance(b []byte) (int, []byte, bool) {
	v, n := binary.Varint(b)
	if n <= 0 || v < -MaxSide || v > MaxSide {
		return 0, nil, false
	}
	return int(v), b[n:], true
}

// paintPhotos draws the listed photos from the slabs in b.
func (d *Decoder) paintPhotos(b []byte) error {
	if len(d.photos) > 0 && d.slabs == nil {
		d.slabs = newSlabReader(d.geometry)
	}
	for photos := d.photos; len(photos) > 0; {
		n, area := slabEnd(photos)
		var err error
		if b, err = d.slabs.read(b, area); err != nil {
			return err
		}
		for _, p := range photos[:n] {
			if !d.slabs.paint(p, d.kinds[p.kinds[0]:p.kinds[1]], d.pix, d.before) {
				return fmt.Errorf("slab: too few residuals: %w", ErrCorrupt)
			}
		}
		photos = photos[n:]
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes behind the slabs: %w", len(b), ErrCorrupt)
	}
	return nil
}
