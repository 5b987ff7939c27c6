package x11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
)

// Requests, events and masks of the core protocol that a notice needs.
const (
	createWindow   = 1
	mapWindow      = 8
	openFont       = 45
	queryTextSizes = 48
	createGC       = 55
	imageText16    = 77

	eventButton = 4
	eventExpose = 12

	inputOutput      = 1
	windowBackground = 1 << 1
	windowBorder     = 1 << 3
	windowUnmanaged  = 1 << 9
	windowEvents     = 1 << 11
	onButton         = 1 << 2
	onExposure       = 1 << 15
	inkForeground    = 1 << 2
	inkBackground    = 1 << 3
	inkFont          = 1 << 14
)

// How a notice looks.
const (
	noticePaper, noticeInk, noticeEdge = 0xfff8dc, 0x202020, 0x804000
	noticeBorder                       = 2
	noticePadding                      = 16
	// noticeColumns is how long a line may be, noticeLines how many there are at most. A request holds 255 characters.
	noticeColumns, noticeLines = 72, 24
)

// noticeFonts are asked for in this order; every server has the last, which is built in.
func noticeFonts() []string {
	return []string{"-misc-fixed-medium-r-normal--20-*-*-*-*-*-iso10646-1", "-misc-fixed-medium-r-normal--18-*-*-*-*-*-iso10646-1", "10x20", "9x15", "fixed"}
}

// ShowNotice shows a text in a window at the top of a display, above the others, until it was there for so long, somebody clicked
// on it, or ctx is done, and blocks until then. An error says that nobody can have seen it. No window manager has a hand in the
// window, and it takes no input but the click.
func ShowNotice(ctx context.Context, display string, opts Options, text string, lasting time.Duration) error {
	number, cookies, err := credentials(display, opts)
	if err != nil {
		return fmt.Errorf("show notice: %w", err)
	}
	deadline := time.Now().Add(opts.timeout())
	c, err := connect(number, cookies, deadline)
	if err != nil {
		return fmt.Errorf("show notice: %w", err)
	}
	defer func() { _ = c.close() }() // takes the window down
	n := notice{client: c, lines: noticeText(text)}
	if err := errors.Join(c.pixels.check(), n.open()); err != nil {
		return fmt.Errorf("show notice: %w", err)
	}
	stop := context.AfterFunc(ctx, c.interrupt)
	defer stop()
	if err := n.show(ctx, deadline, lasting); err != nil {
		return fmt.Errorf("show notice: %w", err)
	}
	return nil
}

// notice is one window with lines of text.
type notice struct {
	client          *client
	lines           []string
	window, ink     uint32
	font            uint32
	ascent, descent int
	width, height   int
}

// open makes and maps the window.
func (n *notice) open() error {
	c := n.client
	n.window, n.ink, n.font = c.ids, c.ids+1, c.ids+2
	if err := n.findFont(); err != nil {
		return err
	}
	for _, line := range n.lines {
		width, err := n.measure(line)
		if err != nil {
			return err
		}
		n.width = max(n.width, width)
	}
	n.width += 2 * noticePadding
	n.height = len(n.lines)*(n.ascent+n.descent) + 2*noticePadding
	screen, err := c.geometry()
	if err != nil {
		return err
	}
	x, y := max((screen.Width-n.width)/2, 0), screen.Height/16
	c.put(createWindow, 0, words(n.window, c.root, place(x, y), place(n.width, n.height), noticeBorder|inputOutput<<16, 0,
		windowBackground|windowBorder|windowUnmanaged|windowEvents, noticePaper, noticeEdge, 1, onButton|onExposure))
	c.put(createGC, 0, words(n.ink, n.window, inkForeground|inkBackground|inkFont, noticeInk, noticePaper, n.font))
	return c.send(mapWindow, 0, words(n.window))
}

// place packs two 16-bit numbers.
func place(a, b int) uint32 { return uint32(uint16(a)) | uint32(uint16(b))<<16 }

// findFont opens the first font that the server has.
func (n *notice) findFont() (err error) {
	for _, name := range noticeFonts() {
		body := append(words(n.font, uint32(len(name))), name...)
		n.client.put(openFont, 0, body)
		_, err = n.measure("X")
		if refused := (*requestError)(nil); !errors.As(err, &refused) {
			return err
		}
	}
	return err
}

// measure returns how wide a text is, and learns how high lines are.
func (n *notice) measure(text string) (width int, err error) {
	glyphs := glyphsOf(text)
	odd := byte(len(glyphs) / 2 % 2)
	reply, err := n.client.call(queryTextSizes, odd, append(words(n.font), glyphs...))
	if err != nil {
		return 0, err
	}
	n.ascent, n.descent = int(int16(wire.Uint16(reply[8:]))), int(int16(wire.Uint16(reply[10:])))
	width = int(int32(wire.Uint32(reply[16:])))
	if n.ascent < 0 || n.descent < 0 || n.ascent+n.descent > maxPlace/noticeLines || width < 0 || width > maxPlace {
		return 0, fmt.Errorf("%w: a font of %d+%d, a text %d wide", ErrLost, n.ascent, n.descent, width)
	}
	return width, nil
}

// glyphsOf encodes a text as the protocol's 16-bit characters.
func glyphsOf(text string) []byte {
	var out []byte
	for _, r := range text {
		if r > 0xffff {
			r = '?'
		}
		out = append(out, byte(r>>8), byte(r))
	}
	return out
}

// show draws whenever the server asks for it. It fails where the window was not asked for until the deadline: nobody has seen it then.
func (n *notice) show(ctx context.Context, deadline time.Time, lasting time.Duration) error {
	shown := false
	for {
		n.client.until(deadline)
		switch {
		case ctx.Err() == nil:
		case shown:
			return nil
		default:
			return ctx.Err()
		}
		packet, err := n.client.next()
		switch {
		case err != nil && shown && errors.Is(err, os.ErrDeadlineExceeded):
			return nil // it was there long enough, or ctx is done
		case err != nil:
			return errors.Join(err, ctx.Err())
		case packet[0] == packetError:
			return &requestError{packet[10], wire.Uint16(packet[8:]), packet[1]}
		case packet[0]&^eventSent == eventButton:
			return nil
		case packet[0]&^eventSent == eventExpose:
			if err := n.draw(); err != nil {
				return err
			}
			if !shown {
				shown, deadline = true, time.Now().Add(lasting)
			}
		}
	}
}

func (n *notice) draw() error {
	for i, line := range n.lines {
		if glyphs := glyphsOf(line); len(glyphs) > 0 {
			y := noticePadding + i*(n.ascent+n.descent) + n.ascent
			n.client.put(imageText16, byte(len(glyphs)/2), append(words(n.window, n.ink, place(noticePadding, y)), glyphs...))
		}
	}
	return n.client.flush()
}

// noticeText breaks a text into lines of what can be drawn.
func noticeText(text string) (lines []string) {
	for paragraph := range strings.Lines(text) {
		line, length := "", 0
		for _, word := range strings.FieldsFunc(paragraph, unicode.IsSpace) {
			runes := []rune(strings.Map(printable, word))
			for len(runes) > 0 {
				part := runes[:min(len(runes), noticeColumns)]
				runes = runes[len(part):]
				if length > 0 && length+1+len(part) > noticeColumns {
					lines, line, length = append(lines, line), "", 0
				}
				if length > 0 {
					line, length = line+" ", length+1
				}
				line, length = line+string(part), length+len(part)
			}
		}
		lines = append(lines, line)
	}
	return lines[:min(len(lines), noticeLines)]
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}
