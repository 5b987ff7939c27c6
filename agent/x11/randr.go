package x11

import "fmt"

const (
	opChangeWindowAttributes = 2
	opGetGeometry            = 14
	opGetAtomName            = 17
	opQueryExtension         = 98

	randrQueryVersion = 0
	randrSelectInput  = 4
	randrGetMonitors  = 42

	attributeEventMask = 0x800
	maskStructure      = 0x20000
	maskRandR12        = 1 | 2 | 4 // screen, CRTC and output changes
	maskRandR14        = 64        // resource changes

	// maxNames bounds the memory for names of monitors that came and went.
	maxNames = 256
)

// findRandR learns whether the server has the extension, and how much of it.
func (c *client) findRandR() error {
	opcode, err := c.extension("RANDR")
	if err != nil || opcode == 0 {
		return err
	}
	c.randr = opcode
	reply, err := c.call(c.randr, randrQueryVersion, words(1, 5))
	if err != nil {
		return fmt.Errorf("read RandR version: %w", err)
	}
	major, minor := wire.Uint32(reply[8:]), wire.Uint32(reply[12:])
	c.monitors = major > 1 || major == 1 && minor >= 5
	return nil
}

// extension returns the major opcode of an extension, 0 if there is none.
func (c *client) extension(name string) (byte, error) {
	reply, err := c.call(opQueryExtension, 0, append([]byte{byte(len(name)), 0, 0, 0}, name...))
	if err != nil {
		return 0, fmt.Errorf("find extension %s: %w", name, err)
	}
	if reply[8] == 0 {
		return 0, nil
	}
	return reply[9], nil
}

// size reads the size of the screen.
func (c *client) size() (width, height int, err error) {
	reply, err := c.call(opGetGeometry, 0, words(c.root))
	if err != nil {
		return 0, 0, err
	}
	return int(wire.Uint16(reply[16:])), int(wire.Uint16(reply[18:])), nil
}

// selectChanges asks for an event on each change of the layout.
func (c *client) selectChanges() error {
	// The window's own events also tell of virtual monitors, for which RandR has
	// no event, and are all there is on a server without RandR.
	if err := c.send(opChangeWindowAttributes, 0, words(c.root, attributeEventMask, maskStructure)); err != nil {
		return fmt.Errorf("select window events: %w", err)
	}
	if c.randr != 0 {
		mask := uint32(maskRandR12)
		if c.monitors {
			mask |= maskRandR14
		}
		if err := c.send(c.randr, randrSelectInput, words(c.root, mask)); err != nil {
			return fmt.Errorf("select RandR events: %w", err)
		}
	}
	// Any answer says that the server has taken in the requests before.
	if _, err := c.call(opGetGeometry, 0, words(c.root)); err != nil {
		return fmt.Errorf("select events: %w", err)
	}
	return nil
}

// geometry reads the present layout.
func (c *client) geometry() (Geometry, error) {
	width, height, err := c.size()
	if err != nil {
		return Geometry{}, err
	}
	g := Geometry{Width: width, Height: height}
	if !c.monitors {
		g.Monitors = []Monitor{{Width: g.Width, Height: g.Height, Primary: true}}
		return g, nil
	}
	const activeOnly = 1
	reply, err := c.call(c.randr, randrGetMonitors, words(c.root, activeOnly))
	if err != nil {
		return Geometry{}, err
	}
	monitors, names, err := parseMonitors(reply)
	if err != nil {
		return Geometry{}, err
	}
	for i := range monitors {
		if monitors[i].Name, err = c.name(names[i]); err != nil {
			return Geometry{}, err
		}
	}
	g.Monitors = monitors
	return g, nil
}

// parseMonitors reads the answer to GetMonitors; names are atoms.
func parseMonitors(reply []byte) (monitors []Monitor, names []uint32, err error) {
	count := wire.Uint32(reply[12:])
	rest := reply[packetSize:]
	const fixed = 24
	for range count {
		if len(rest) < fixed {
			return nil, nil, fmt.Errorf("%w: list of %d monitors is cut", ErrLost, count)
		}
		names = append(names, wire.Uint32(rest))
		monitors = append(monitors, Monitor{
			Primary: rest[4] != 0,
			X:       int(int16(wire.Uint16(rest[8:]))),
			Y:       int(int16(wire.Uint16(rest[10:]))),
			Width:   int(wire.Uint16(rest[12:])),
			Height:  int(wire.Uint16(rest[14:])),
		})
		size := fixed + 4*int(wire.Uint16(rest[6:]))
		if len(rest) < size {
			return nil, nil, fmt.Errorf("%w: list of outputs is cut", ErrLost)
		}
		rest = rest[size:]
	}
	return monitors, names, nil
}

// name returns the text of an atom. Atoms keep their text as long as the server
// runs, so it is asked for once.
func (c *client) name(atom uint32) (string, error) {
	if name, ok := c.names[atom]; ok {
		return name, nil
	}
	reply, err := c.call(opGetAtomName, 0, words(atom))
	if err != nil {
		return "", err
	}
	name, err := parseName(reply)
	if err != nil {
		return "", err
	}
	if len(c.names) >= maxNames {
		clear(c.names)
	}
	c.names[atom] = name
	return name, nil
}

// parseName reads the answer to GetAtomName.
func parseName(reply []byte) (string, error) {
	size := int(wire.Uint16(reply[8:]))
	if len(reply) < packetSize+size {
		return "", fmt.Errorf("%w: name of %d bytes is cut", ErrLost, size)
	}
	return string(reply[packetSize : packetSize+size]), nil
}

// words lays out 32-bit fields.
func words(fields ...uint32) []byte {
	body := make([]byte, 0, 4*len(fields))
	for _, field := range fields {
		body = wire.AppendUint32(body, field)
	}
	return body
}
