package object

import (
	"context"
	"net"
	"time"
)

// dialer opens connections.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// patient gives every write to a connection a time to be taken in: a service that stops reading ends an upload then.
func (d dialer) patient(patience time.Duration) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return patientConn{c, patience}, nil
	}
}

type patientConn struct {
	net.Conn
	patience time.Duration
}

func (c patientConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
