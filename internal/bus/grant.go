package bus

import (
	"fmt"
	"time"

	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/types/known/timestamppb"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Key is a bus user's key pair; the private half never leaves the process that made it.
type Key struct{ pair nkeys.KeyPair }

// NewKey makes a key pair.
func NewKey() (*Key, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make bus key: %w", err)
	}
	return &Key{pair}, nil
}

// Public returns the public half, as "U...".
func (k *Key) Public() string {
	public, err := k.pair.PublicKey()
	if err != nil {
		panic(err) // the pair was made here
	}
	return public
}

// Grant is a right to use the bus for a while; good only together with the key it was granted to.
type Grant struct {
	URLs []string
	// CA is PEM; empty for the system's authorities.
	CA          string
	JWT         string
	Expires     time.Time
	InboxPrefix string
}

// GrantFromProto converts a grant from the wire.
func GrantFromProto(p *recfleetv1.BusGrant) Grant {
	return Grant{
		URLs: p.GetUrls(), CA: p.GetCaCertificates(), JWT: p.GetUserJwt(),
		Expires: p.GetExpireTime().AsTime(), InboxPrefix: p.GetInboxPrefix(),
	}
}

// Proto converts a grant for the wire.
func (g Grant) Proto() *recfleetv1.BusGrant {
	return &recfleetv1.BusGrant{
		Urls: g.URLs, CaCertificates: g.CA, UserJwt: g.JWT,
		ExpireTime: timestamppb.New(g.Expires), InboxPrefix: g.InboxPrefix,
	}
}
