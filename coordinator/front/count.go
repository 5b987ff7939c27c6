package front

import (
	"net"
	"sync"
)

// count is how many connections there are, of all and of each address. It is safe for concurrent use.
type count struct {
	most, each int
	mu         sync.Mutex
	all        int
	of         map[string]int
}

func newCount(most, each int) *count { return &count{most: most, each: each, of: map[string]int{}} }

// take counts one more, or reports that there are too many.
func (c *count) take(from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.of[from] >= c.each {
		return false
	}
	c.all++
	c.of[from]++
	return true
}

// give counts one less.
func (c *count) give(from string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// counted is a connection that tells when it is closed.
type counted struct {
	net.Conn
	machine bool // set in the handshake, by what the client offered
	once    sync.Once
	closed  func() // set before others have the connection; nil for nothing to tell
}

// Close closes the connection; it may be called twice.
func (c *counted) Close() error {
	if c.closed != nil {
		c.once.Do(c.closed)
	}
	return c.Conn.Close()
}
