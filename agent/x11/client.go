package x11

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// The parts of the X protocol that are spoken here, little-endian.
const (
	packetSize = 32
	// maxPacket bounds what a server can make the agent hold in memory.
	maxPacket = 1 << 20

	packetError        = 0
	packetReply        = 1
	eventGeneric       = 35
	eventSent    uint8 = 0x80

	setupFailed  = 0
	setupSuccess = 1
)

var wire = binary.LittleEndian //nolint:gochecknoglobals // a constant by another name

// client is one connection to an X server, used by one goroutine at a time; only
// interrupt and close may come from another.
type client struct {
	conn   net.Conn
	root   uint32
	pixels pixels
	// randr is the extension's major opcode, 0 if the server has none.
	randr byte
	// monitors says that the extension lists monitors (RandR 1.5).
	monitors bool

	sequence uint16
	queued   []byte
	// ids is the first number that the client may give to what it makes.
	ids uint32
	// unread holds received bytes that are no whole packet yet. A deadline in the
	// middle of a packet loses nothing.
	unread []byte
	// changed is set by every event.
	changed bool
	names   map[uint32]string
}

// connect shows the server one cookie after the other until one is accepted.
func connect(number int, cookies [][]byte, deadline time.Time) (*client, error) {
	var refused error
	for _, cookie := range cookies {
		conn, err := dial(number, deadline)
		if err != nil {
			return nil, err
		}
		c := &client{conn: conn, names: map[uint32]string{}}
		c.until(deadline)
		err = c.greet(cookie)
		if err == nil {
			err = c.findRandR()
		}
		if err == nil {
			return c, nil
		}
		conn.Close()
		if !errors.Is(err, ErrRefused) {
			return nil, err
		}
		refused = err
	}
	return nil, refused
}

// dial tries the socket in the file system and then the abstract one, which is
// also there for an agent that has a /tmp of its own.
func dial(number int, deadline time.Time) (net.Conn, error) {
	dialer := net.Dialer{Deadline: deadline}
	path := fmt.Sprintf("%s/X%d", socketDir, number)
	conn, err := dialer.Dial("unix", path)
	if err == nil {
		return conn, nil
	}
	if conn, abstractErr := dialer.Dial("unix", "@"+path); abstractErr == nil {
		return conn, nil
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrNoDisplay, err)
	}
	return nil, err
}

// until bounds everything that follows; the zero time means no bound.
func (c *client) until(deadline time.Time) {
	// Fails on a closed connection only, and so does the read that follows.
	_ = c.conn.SetDeadline(deadline)
}

// interrupt lets a read that is waiting return.
func (c *client) interrupt() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) }

func (c *client) close() error {
	if err := c.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// put queues one request, which flush writes, and returns its sequence number.
// body starts after the length field.
func (c *client) put(opcode, data byte, body []byte) (sequence uint16) {
	size := (4 + len(body) + 3) &^ 3
	c.queued = append(c.queued, opcode, data, byte(size/4), byte(size/4>>8))
	c.queued = append(c.queued, body...)
	c.queued = append(c.queued, make([]byte, size-4-len(body))...)
	c.sequence++
	return c.sequence
}

// flush writes what is queued, in one piece: the server answers it without
// turning to other clients in between, as far as that can be had.
func (c *client) flush() error {
	_, err := c.conn.Write(c.queued)
	c.queued = c.queued[:0]
	if err != nil {
		// Even for a deadline: half a request cannot be taken back.
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// send writes one request.
func (c *client) send(opcode, data byte, body []byte) error {
	c.put(opcode, data, body)
	return c.flush()
}

// call writes a request and returns its reply, taking in events on the way.
func (c *client) call(opcode, data byte, body []byte) ([]byte, error) {
	sequence := c.put(opcode, data, body)
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.reply(sequence)
}

// reply takes in packets until the reply to that request, and returns it.
func (c *client) reply(sequence uint16) ([]byte, error) {
	for {
		packet, err := c.next()
		if err != nil {
			return nil, err
		}
		switch {
		// Anything else is an event, or the answer to a question that was given up.
		case packet[0] > packetReply || wire.Uint16(packet[2:]) != sequence:
		case packet[0] == packetError:
			return nil, &requestError{packet[10], wire.Uint16(packet[8:]), packet[1]}
		default:
			return packet, nil
		}
	}
}

// requestError is the server's answer to a request that it does not grant.
type requestError struct {
	major byte
	minor uint16
	code  byte
}

func (e *requestError) Error() string {
	return fmt.Sprintf("x server refused request %d.%d with error %d", e.major, e.minor, e.code)
}

// next returns the next packet, which is at least packetSize long.
func (c *client) next() ([]byte, error) {
	if err := c.fill(packetSize); err != nil {
		return nil, err
	}
	size, err := packetLength(c.unread)
	if err != nil {
		return nil, err
	}
	if err := c.fill(size); err != nil {
		return nil, err
	}
	packet := c.unread[:size:size]
	c.unread = c.unread[size:]
	if packet[0] > packetReply {
		c.changed = true
	}
	return packet, nil
}

// packetLength tells how long the packet is that begins with head.
func packetLength(head []byte) (int, error) {
	if head[0] != packetReply && head[0]&^eventSent != eventGeneric {
		return packetSize, nil
	}
	more := wire.Uint32(head[4:])
	if more > (maxPacket-packetSize)/4 {
		return 0, fmt.Errorf("%w: packet of %d words", ErrLost, more)
	}
	return packetSize + int(more)*4, nil
}

// fill reads until size bytes are there.
func (c *client) fill(size int) error {
	for len(c.unread) < size {
		var part [4096]byte
		n, err := c.conn.Read(part[:])
		c.unread = append(c.unread, part[:n]...)
		if err != nil && len(c.unread) < size {
			return lost(err)
		}
	}
	return nil
}

// lost marks the errors after which a connection is of no more use.
func lost(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if errors.Is(err, io.EOF) {
		return ErrLost
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}
