package x11

import (
	"fmt"
	"strings"
)

const cookieProtocol = "MIT-MAGIC-COOKIE-1"

// greet opens the conversation and takes the root window of the first screen
// from the server's answer.
func (c *client) greet(cookie []byte) error {
	protocol := ""
	if cookie != nil {
		protocol = cookieProtocol
	}
	hello := make([]byte, 12, 64)
	hello[0] = 'l'
	wire.PutUint16(hello[2:], 11)
	wire.PutUint16(hello[6:], uint16(len(protocol)))
	wire.PutUint16(hello[8:], uint16(len(cookie)))
	for _, field := range []string{protocol, string(cookie)} {
		hello = append(hello, field...)
		for len(hello)%4 != 0 {
			hello = append(hello, 0)
		}
	}
	if _, err := c.conn.Write(hello); err != nil {
		return lost(err)
	}
	if err := c.fill(8); err != nil {
		return err
	}
	size := 8 + 4*int(wire.Uint16(c.unread[6:]))
	if err := c.fill(size); err != nil {
		return err
	}
	answer := c.unread[:size]
	c.unread = c.unread[size:]
	var err error
	if c.root, c.pixels, err = parseSetup(answer); err == nil {
		c.ids = wire.Uint32(answer[12:])
	}
	return err
}

// parseSetup reads the server's answer to the greeting: the root window of the
// first screen, and how its pixels are laid out.
func parseSetup(answer []byte) (root uint32, p pixels, err error) {
	switch answer[0] {
	case setupSuccess:
	case setupFailed:
		reason := answer[8:min(len(answer), 8+int(answer[1]))]
		return 0, p, fmt.Errorf("%w: %q", ErrRefused, strings.TrimSpace(string(reason)))
	default: // The server wants a conversation about who we are.
		return 0, p, fmt.Errorf("%w: more than a cookie is asked for", ErrRefused)
	}
	const fixed, screenSize = 40, 40
	if len(answer) < fixed {
		return 0, p, fmt.Errorf("%w: greeting of %d bytes", ErrLost, len(answer))
	}
	vendor := (int(wire.Uint16(answer[24:])) + 3) &^ 3
	screens, formats := int(answer[28]), int(answer[29])
	at := fixed + vendor + 8*formats
	if screens == 0 || len(answer) < at+screenSize {
		return 0, p, fmt.Errorf("%w: greeting without a screen", ErrLost)
	}
	screen := answer[at:]
	p.depth = screen[38]
	p.bigEndian = answer[30] != 0
	for format := answer[fixed+vendor : at]; len(format) > 0; format = format[8:] {
		if format[0] == p.depth {
			p.bits = format[1]
		}
	}
	p.masks = parseMasks(screen[screenSize:], int(screen[39]), wire.Uint32(screen[32:]))
	return wire.Uint32(screen), p, nil
}
