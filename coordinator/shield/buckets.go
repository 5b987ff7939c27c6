package shield

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds the addresses or visitors that are kept in mind. Past it those that asked least of late are forgotten.
const maxKeys = 10_000

// Network is what requests and connections from an address with its port are counted by: an IPv4 address, or the /64 network
// that one subscriber of IPv6 has.
func Network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if a = a.Unmap(); a.Is6() {
		if network, err := a.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return a.String()
}

// buckets give each key so many requests a second, and so many at once.
type buckets struct {
	rate, burst float64
	now         func() time.Time
	mu          sync.Mutex
	of          map[string]bucket
}

// bucket is what a key had left, and when.
type bucket struct {
	left float64
	at   time.Time
}

func newBuckets(rate, burst float64, now func() time.Time) *buckets {
	return &buckets{rate: rate, burst: burst, now: now, of: map[string]bucket{}}
}

// take takes one request, or returns how long to wait for it.
func (b *buckets) take(key string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	one, ok := b.of[key]
	if !ok {
		b.forget(now)
		one = bucket{b.burst, now}
	}
	one.left, one.at = b.level(one, now), now
	if one.left < 1 {
		b.of[key] = one
		return max(time.Millisecond, time.Duration((1-one.left)/b.rate*float64(time.Second)))
	}
	one.left--
	b.of[key] = one
	return 0
}

func (b *buckets) level(one bucket, now time.Time) float64 {
	return min(b.burst, one.left+max(0, now.Sub(one.at).Seconds())*b.rate)
}

// forget makes room for another key: those go that are as if they had never asked, and where there are none the fullest one
// of a few.
func (b *buckets) forget(now time.Time) {
	if len(b.of) < maxKeys {
		return
	}
	const few = 64
	looked, fullest, level := 0, "", -1.0
	for key, one := range b.of { // in no order, so that nobody can choose who is forgotten
		l := b.level(one, now)
		if l >= b.burst {
			delete(b.of, key)
		} else if l > level {
			fullest, level = key, l
		}
		if looked++; looked == few {
			break
		}
	}
	if len(b.of) >= maxKeys {
		delete(b.of, fullest)
	}
}
