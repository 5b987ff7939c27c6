package access

import (
	"context"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/recfleet/recfleet/internal/identity"
)

// ByCertificate is how an enrolled agent shows who it is: by the certificate of its connection.
const ByCertificate Method = "certificate"

// Revocations says whose certificates do not count any more; enroll.Enroll does.
type Revocations interface {
	Revoked(agent string) (bool, error)
}

// TrustCertificates makes agents known by the certificates of their connections, which whoever accepts the connections has checked
// against the installation's authority. To be called before the Control is used.
func (c *Control) TrustCertificates(r Revocations) { c.revocations = r }

// identify returns who makes a call. Where the connection has a certificate, that decides, whatever else is shown: one that has
// run out or was revoked is ErrStranger, with a principal that has a name and may do nothing.
func (c *Control) identify(ctx context.Context) (Principal, error) {
	agent, shown, err := c.certified(ctx)
	if err != nil {
		if agent != "" { // it is known who that was
			return Principal{Name: "agent " + agent, By: ByCertificate}, err
		}
		return Principal{}, err
	}
	if !shown {
		return c.Authenticate(ctx, bearer(ctx))
	}
	return Principal{Kind: KindAgent, Name: "agent " + agent, By: ByCertificate, Agent: agent}, nil
}

// certified returns the agent that a connection's certificate names; false where there is no certificate.
func (c *Control) certified(ctx context.Context) (agent string, shown bool, err error) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return "", false, nil
	}
	secured, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || len(secured.State.PeerCertificates) == 0 {
		return "", false, nil
	}
	// Chains that were not verified are none.
	if c.revocations == nil || len(secured.State.VerifiedChains) == 0 {
		return "", true, ErrStranger
	}
	leaf := secured.State.VerifiedChains[0][0]
	agent, ok = identity.AgentID(leaf)
	// A connection may outlive what it was opened with.
	if now := time.Now(); !ok || now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return "", true, ErrStranger
	}
	revoked, err := c.revocations.Revoked(agent)
	if err == nil && revoked {
		err = ErrStranger
	}
	return agent, true, err
}
