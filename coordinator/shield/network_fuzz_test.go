package shield

import (
	"net"
	"net/netip"
	"testing"
)

// Whatever an address is written as, it is counted with those of its network.
func FuzzNetwork(f *testing.F) {
	for _, seed := range []string{"10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1", "[fe80::1%eth0]:1", "", "x", "10.0.0.1", "[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		network := Network(remote)
		host, _, err := net.SplitHostPort(remote)
		if err != nil {
			return
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return
		}
		if p, err := netip.ParsePrefix(network); a.Unmap().Is6() && (err != nil || p.Bits() != 64 || !p.Contains(a.WithZone(""))) {
			t.Errorf("%q is of %q", remote, network)
		}
		if same, err := netip.ParseAddr(network); a.Unmap().Is4() && (err != nil || same != a.Unmap()) {
			t.Errorf("%q is of %q", remote, network)
		}
	})
}
