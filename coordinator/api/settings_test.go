package api

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// A connection's table of headers would fill up with deadlines, of which each call has another: clients are told to use none.
// And the window is one that the server does not send pings to find out about.
func TestClientsAreToldToKeepNoTableOfHeaders(t *testing.T) {
	f := newFixture(t)
	listener := bufconn.Listen(1 << 16)
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(listener) }()
	conn, err := listener.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var header [9]byte // of the first frame: three bytes of length, the type
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		t.Fatal(err)
	}
	const settings, tableSize, windowSize = 4, 1, 4
	body := make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
	if _, err := io.ReadFull(conn, body); err != nil || header[3] != settings {
		t.Fatalf("frame of type %d: %v", header[3], err)
	}
	told := map[uint16]uint32{}
	for ; len(body) >= 6; body = body[6:] {
		told[binary.BigEndian.Uint16(body)] = binary.BigEndian.Uint32(body[2:])
	}
	if size, ok := told[tableSize]; !ok || size != 0 || told[windowSize] != window {
		t.Errorf("told %v", told)
	}
	_ = conn.Close()
	_ = listener.Close()
	if err := <-served; err == nil {
		t.Error("the server went on without its listener")
	}
}
