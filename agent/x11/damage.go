package x11

import (
	"cmp"
	"fmt"
	"image"
	"slices"
)

const (
	damageQueryVersion = 0
	damageCreate       = 1
	damageSubtract     = 3
	// damageNonEmpty has the server say only that there is something, and not
	// again until it was taken away.
	damageNonEmpty = 3

	fixesCreateRegion = 5
	fixesFetchRegion  = 19

	// maxChanges is how many rectangles are kept apart.
	maxChanges = 256
)

// damage asks the server which parts of the screen were drawn to.
type damage struct {
	// able says that the server tells, and was not caught keeping something back.
	able          bool
	opcode, fixes byte
	id, parts     uint32
}

// findDamage has the server note what is drawn from here on.
func (c *client) findDamage(fixes byte) (damage, error) {
	opcode, err := c.extension("DAMAGE")
	if err != nil || opcode == 0 {
		return damage{}, err
	}
	if _, err := c.call(opcode, damageQueryVersion, words(1, 1)); err != nil {
		return damage{}, fmt.Errorf("read DAMAGE version: %w", err)
	}
	d := damage{able: true, opcode: opcode, fixes: fixes, id: c.ids + idDamage, parts: c.ids + idRegion}
	c.put(opcode, damageCreate, words(d.id, c.root, damageNonEmpty))
	c.put(fixes, fixesCreateRegion, words(d.parts))
	// The first answer is of no interest, and says whether there will be others.
	sequence := d.put(c)
	if err := c.flush(); err != nil {
		return damage{}, err
	}
	if _, err := c.reply(sequence); err != nil {
		return damage{}, fmt.Errorf("ask for damage: %w", err)
	}
	return d, nil
}

// put queues the question for what was drawn since it was last asked.
func (d damage) put(c *client) uint16 {
	if !d.able {
		return 0
	}
	c.put(d.opcode, damageSubtract, words(d.id, 0, d.parts))
	return c.put(d.fixes, fixesFetchRegion, words(d.parts))
}

// region reads the answer, in rectangles within the screen.
func (d damage) region(c *client, sequence uint16, screen image.Rectangle) ([]image.Rectangle, error) {
	if !d.able {
		return nil, nil
	}
	reply, err := c.reply(sequence)
	if err != nil {
		return nil, fmt.Errorf("ask for damage: %w", err)
	}
	return parseRegion(reply, screen), nil
}

// parseRegion reads the answer to FetchRegion. Very many rectangles become the
// one around them.
func parseRegion(reply []byte, screen image.Rectangle) []image.Rectangle {
	const size = 8
	place := func(b []byte) image.Rectangle {
		x, y := int(int16(wire.Uint16(b))), int(int16(wire.Uint16(b[2:])))
		return image.Rect(x, y, x+int(wire.Uint16(b[4:])), y+int(wire.Uint16(b[6:]))).Intersect(screen)
	}
	list := reply[packetSize:]
	if len(list)/size > maxChanges {
		if all := place(reply[8:]); !all.Empty() {
			return []image.Rectangle{all}
		}
		return nil
	}
	var region []image.Rectangle
	for ; len(list) >= size; list = list[size:] {
		if r := place(list); !r.Empty() {
			region = append(region, r)
		}
	}
	return region
}

// rows are those from top up to, and without, bottom.
type rows struct{ top, bottom int }

func rowsOf(r image.Rectangle) rows { return rows{r.Min.Y, r.Max.Y} }

func (r rows) touches(bands []rows) bool {
	return slices.ContainsFunc(bands, func(b rows) bool { return r.top < b.bottom && b.top < r.bottom })
}

// bandsOf returns the rows in which rectangles lie, in order: few, since each
// costs a request. Bands that touch whole have all of its rows.
func bandsOf(changed []image.Rectangle, whole image.Rectangle) []rows {
	bands := join(changed)
	if rowsOf(whole).touches(bands) {
		bands = join(append(slices.Clip(changed), whole))
	}
	return bands
}

func join(list []image.Rectangle) []rows {
	// apart is how many rows that have not changed cost as much as a request.
	const apart = 32
	sorted := slices.SortedFunc(slices.Values(list), func(a, b image.Rectangle) int { return cmp.Compare(a.Min.Y, b.Min.Y) })
	var bands []rows
	for _, r := range sorted {
		if r.Empty() {
			continue
		}
		if n := len(bands); n > 0 && r.Min.Y <= bands[n-1].bottom+apart {
			bands[n-1].bottom = max(bands[n-1].bottom, r.Max.Y)
			continue
		}
		bands = append(bands, rowsOf(r))
	}
	return bands
}

// covered reports whether all rectangles lie in the bands.
func covered(list []image.Rectangle, bands []rows) bool {
	for _, r := range list {
		if !slices.ContainsFunc(bands, func(b rows) bool { return b.top <= r.Min.Y && r.Max.Y <= b.bottom }) {
			return false
		}
	}
	return true
}
