package x11

import (
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

const (
	opGetImage    = 73
	formatZPixmap = 2
	allPlanes     = 0xffffffff
	// answerBytes bounds what one request asks for where there is no shared
	// memory: the server holds the answer in its own. Usual screens come in one
	// answer, at one instant.
	answerBytes = 16 << 20

	shmQueryVersion = 0
	shmDetach       = 2
	shmGetImage     = 4
	shmAttachFd     = 6

	// What the grabber makes in the server is numbered from the client's first
	// number on.
	idDamage  = 1
	idRegion  = 2
	idSegment = 3

	// stripRows is how many rows are compared at once.
	stripRows = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a table that nobody writes to

// memory is where pictures of one size are put.
type memory struct {
	size   image.Point
	pix    []byte
	shared bool
}

func (m *memory) free() error {
	pix, shared := m.pix, m.shared
	*m = memory{}
	if shared {
		return unix.Munmap(pix)
	}
	return nil
}

// sums returns one number for each strip of the picture.
func (m *memory) sums() []uint32 {
	size := stripRows * 4 * m.size.X
	sums := make([]uint32, 0, len(m.pix)/size+1)
	for pix := m.pix; len(pix) > 0; {
		n := min(size, len(pix))
		sums = append(sums, crc32.Checksum(pix[:n], castagnoli))
		pix = pix[n:]
	}
	return sums
}

// sharing says whether, and how, the server takes memory by its descriptor.
type sharing struct {
	able   bool
	opcode byte
}

func (c *client) findSharing() (sharing, error) {
	opcode, err := c.extension("MIT-SHM")
	if err != nil || opcode == 0 {
		return sharing{}, err
	}
	reply, err := c.call(opcode, shmQueryVersion, nil)
	if err != nil {
		return sharing{}, fmt.Errorf("read MIT-SHM version: %w", err)
	}
	major, minor := wire.Uint16(reply[8:]), wire.Uint16(reply[10:])
	_, local := c.conn.(*net.UnixConn)
	return sharing{able: local && (major > 1 || major == 1 && minor >= 2), opcode: opcode}, nil
}

// put queues a request for rows of the screen, which go where they are in the
// picture.
func (s sharing) put(c *client, width int, band rows) uint16 {
	return c.put(s.opcode, shmGetImage, words(c.root, uint32(band.top)<<16, uint32(width)|uint32(band.bottom-band.top)<<16,
		allPlanes, formatZPixmap, c.ids+idSegment, uint32(4*width*band.top)))
}

// share makes memory for pictures that the server writes to. A server that does
// not take it is not asked again.
func (g *Grabber) share(size image.Point) error {
	c := g.client
	if g.memory.shared {
		if err := c.send(g.shares.opcode, shmDetach, words(c.ids+idSegment)); err != nil {
			return err
		}
	}
	if err := g.memory.free(); err != nil {
		return fmt.Errorf("free picture: %w", err)
	}
	bytes := 4 * size.X * size.Y
	fd, pix, err := sealedMemory(bytes)
	if err != nil {
		return fmt.Errorf("share picture: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // the mapping stays
	g.memory = memory{size: size, pix: pix, shared: true}
	if err := c.attach(g.shares.opcode, fd); err != nil {
		return err
	}
	// The request has no answer; a picture of one pixel tells.
	_, err = c.call(g.shares.opcode, shmGetImage, words(c.root, 0, 1|1<<16, allPlanes, formatZPixmap, c.ids+idSegment, 0))
	if refused := (*requestError)(nil); errors.As(err, &refused) && refused.code != badMatch {
		g.shares.able, g.damage.able = false, false
		if err := g.memory.free(); err != nil {
			return fmt.Errorf("free picture: %w", err)
		}
		g.memory = memory{size: size, pix: make([]byte, bytes)}
		return nil
	}
	return sizeError(err)
}

// sealedMemory returns memory that cannot be made smaller by whoever gets its
// descriptor: reading what is no longer there would end the agent.
func sealedMemory(bytes int) (fd int, pix []byte, err error) {
	if fd, err = unix.MemfdCreate("recagent-picture", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err != nil {
		return -1, nil, err
	}
	if err = unix.Ftruncate(fd, int64(bytes)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		pix, err = unix.Mmap(fd, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return -1, nil, errors.Join(err, unix.Close(fd))
	}
	return fd, pix, nil
}

// attach hands the server the memory's descriptor.
func (c *client) attach(opcode byte, fd int) error {
	c.put(opcode, shmAttachFd, words(c.ids+idSegment, 0))
	request := c.queued
	c.queued = c.queued[:0]
	conn, ok := c.conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("%w: no descriptor can be sent", ErrLost)
	}
	if n, _, err := conn.WriteMsgUnix(request, unix.UnixRights(fd), nil); err != nil || n != len(request) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// image reads the whole screen through the connection.
func (c *client) image(size image.Point, pix []byte) error {
	stride := 4 * size.X
	most := max(answerBytes/stride, 1)
	for y := 0; y < size.Y; y += most {
		n := min(most, size.Y-y)
		if err := c.imageRows(rows{y, y + n}, size.X, pix[y*stride:][:n*stride]); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) imageRows(band rows, width int, pix []byte) error {
	body := words(c.root, uint32(band.top)<<16, uint32(width)|uint32(band.bottom-band.top)<<16, allPlanes)
	sequence := c.put(opGetImage, formatZPixmap, body)
	if err := c.flush(); err != nil {
		return err
	}
	for {
		if err := c.fill(packetSize); err != nil {
			return err
		}
		// Only the picture itself is too large for next.
		if c.unread[0] == packetReply && wire.Uint16(c.unread[2:]) == sequence {
			break
		}
		packet, err := c.next()
		if err != nil {
			return err
		}
		if packet[0] == packetError && wire.Uint16(packet[2:]) == sequence {
			return &requestError{packet[10], wire.Uint16(packet[8:]), packet[1]}
		}
	}
	head := c.unread[:packetSize]
	if got := 4 * uint64(wire.Uint32(head[4:])); got != uint64(len(pix)) {
		return fmt.Errorf("%w: picture of %d bytes, not %d", ErrLost, got, len(pix))
	}
	c.unread = c.unread[packetSize:]
	n := copy(pix, c.unread)
	c.unread = c.unread[n:]
	if _, err := io.ReadFull(c.conn, pix[n:]); err != nil {
		return lost(err)
	}
	return nil
}
