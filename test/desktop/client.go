package desktop

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jezek/xgb"
)

const cookieProtocol = "MIT-MAGIC-COOKIE-1"

// dial connects an in-process X client to the server.
func (s *Server) dial() (*xgb.Conn, error) {
	// xgb reports a missing authority file, which is no news here.
	xgb.Logger.SetOutput(io.Discard)
	conn, err := net.Dial("unix", "/tmp/.X11-unix/X"+strings.TrimPrefix(s.display, ":"))
	if err != nil {
		return nil, fmt.Errorf("dial display %s: %w", s.display, err)
	}
	client, err := xgb.NewConnNet(&greeting{Conn: conn, cookie: s.cookie})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("dial display %s: %w", s.display, err)
	}
	return client, nil
}

// greeting replaces the first message of an X client by one with the server's
// own cookie: the client library takes its cookie from the environment only.
type greeting struct {
	net.Conn
	cookie []byte
	sent   bool
}

func (g *greeting) Write(p []byte) (int, error) {
	if g.sent {
		return g.Conn.Write(p)
	}
	g.sent = true
	protocol := ""
	if g.cookie != nil {
		protocol = cookieProtocol
	}
	hello := make([]byte, 12, 64)
	hello[0] = 'l' // little-endian
	hello[2] = 11
	hello[6], hello[8] = byte(len(protocol)), byte(len(g.cookie))
	hello = append(hello, protocol...)
	for len(hello)%4 != 0 {
		hello = append(hello, 0)
	}
	hello = append(hello, g.cookie...)
	if _, err := g.Conn.Write(hello); err != nil {
		return 0, err
	}
	return len(p), nil
}

// closeClient ends a client's connection and waits until its goroutines ended.
func closeClient(client *xgb.Conn) {
	client.Close()
	for {
		if event, err := client.WaitForEvent(); event == nil && err == nil {
			return
		}
	}
}
