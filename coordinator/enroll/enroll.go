// Package enroll lets agents join and cuts off those that were revoked.
//
// What comes in is an agent's key with a token, or with an identity of AWS; what goes out is a certificate for that key. What
// always holds: a key is known only after its holder has signed a nonce of ours, which is good once and for a minute; an
// enrollment is used as often as it may be and no more, however many ask at once; an agent that was revoked is refused here at
// once, by this coordinator's other services and by the bus within refreshEvery of every coordinator.
package enroll

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
)

const (
	// refreshEvery is how long an agent that was revoked may go on.
	refreshEvery = 5 * time.Second
	// repeatEvery is how often the bus is told what it should know: a broker that was started anew does not.
	repeatEvery = 30 * time.Second
	// revokedFor is how long an agent that was revoked is looked out for: nothing that was signed for it is good for longer.
	revokedFor = 2 * identity.AgentCertificateLife
	// staleAfter is when nobody is let in any more because nobody could find out who was revoked.
	staleAfter = 45 * time.Second
)

var (
	// ErrNonce says that a nonce is none, has run out or was used.
	ErrNonce = errors.New("nonce: is none, has run out or was used; begin anew")
	// ErrRefused says that somebody is not admitted, and not why.
	ErrRefused = errors.New("not admitted: the token or identity is unknown, has run out, was used up or revoked, or the signature is wrong")
	// ErrScope says that an agent may not record for a stack and fleet.
	ErrScope = errors.New("the agent's enrollment is for other stacks or fleets")
	errStale = errors.New("it is not known who was revoked")
)

// Authority signs certificates; see identity.Authority.
type Authority interface {
	AgentCertificate(key ed25519.PublicKey, id string) ([]byte, error)
	Secret(purpose string) ([]byte, error)
}

// Bus cuts off who has a key, and does not let them in again; see bus.Broker.
type Bus interface {
	Revoke(ctx context.Context, publicKeys []string) error
}

// Caller finds out what AWS says of who has signed a request.
type Caller interface {
	Identify(ctx context.Context, signed SignedRequest) (AWSIdentity, error)
}

// Config is what Enroll needs.
type Config struct {
	Catalog   *catalog.Catalog
	Authority Authority
	Bus       Bus
	// AWS asks STS.
	AWS    Caller
	Logger hclog.Logger
}

// Enroll lets agents join. It is safe for concurrent use.
type Enroll struct {
	cfg     Config
	nonces  nonces
	revoked atomic.Pointer[revoked]
	wake    chan struct{}
	pushed  []string // keys, at the last push to the bus; Run's alone
	pushAt  time.Time
}

// revoked is who was revoked, as of a time.
type revoked struct {
	at     time.Time // on the monotonic clock
	agents map[string]bool
}

// New returns an Enroll that lets nobody in before its first Refresh.
func New(cfg Config) (*Enroll, error) {
	key, err := cfg.Authority.Secret("enroll nonce")
	if err != nil {
		return nil, err
	}
	return &Enroll{cfg: cfg, nonces: nonces{key}, wake: make(chan struct{}, 1)}, nil
}

// Nonce returns one that is good once, for a minute.
func (e *Enroll) Nonce() string { return e.nonces.make(time.Now()) }

// Joining is an agent that wants to join.
type Joining struct {
	Token, Nonce string
	Key          ed25519.PublicKey
	Machine      string
	Signature    []byte
	AWS          *SignedRequest // nil where it has none
	From         string         // the address that it calls from
}

// Joined is an agent with its certificate.
type Joined struct {
	Agent, Enrollment string
	Certificate       []byte
	Lifetime          time.Duration
}

// Join makes a key known as an agent's. ErrNonce and ErrRefused are final, others passing.
func (e *Enroll) Join(ctx context.Context, j Joining) (Joined, error) {
	now := time.Now()
	nonce, ok := e.nonces.check(j.Nonce, now)
	if !ok {
		return Joined{}, ErrNonce
	}
	if !ed25519.Verify(j.Key, identity.EnrollProof(j.Nonce, j.Key, j.Machine), j.Signature) {
		return Joined{}, ErrRefused
	}
	enrollment, err := e.cfg.Catalog.EnrollmentByHash(ctx, HashToken(j.Token))
	if errors.Is(err, catalog.ErrNotFound) {
		return Joined{}, ErrRefused
	}
	if err != nil {
		return Joined{}, err
	}
	agent := catalog.EnrolledAgent{
		ID: identity.NewAgentID(), Enrollment: enrollment.ID, PublicKey: j.Key, Machine: j.Machine, From: j.From, Enrolled: now,
	}
	if enrollment.AWSAccount != "" {
		if agent.AWSARN, err = e.vouch(ctx, enrollment, j); err != nil {
			return Joined{}, err
		}
	}
	agent, err = e.cfg.Catalog.Enroll(ctx, agent, nonce)
	if err != nil {
		return Joined{}, final(err)
	}
	e.cfg.Logger.Info("agent enrolled", "agent_id", agent.ID, "enrollment_id", enrollment.ID, "from", j.From)
	return e.certify(agent)
}

// Renew returns another certificate for an agent's key. ErrNonce, ErrRefused and catalog.ErrNotFound are final, others passing.
func (e *Enroll) Renew(ctx context.Context, id, nonceText, machine string, signature []byte) (Joined, error) {
	now := time.Now()
	nonce, ok := e.nonces.check(nonceText, now)
	if !ok {
		return Joined{}, ErrNonce
	}
	agent, err := e.cfg.Catalog.EnrolledAgent(ctx, id)
	if err != nil {
		return Joined{}, err
	}
	if agent.Machine != machine || !ed25519.Verify(agent.PublicKey, identity.RenewProof(nonceText, id, machine), signature) {
		return Joined{}, ErrRefused
	}
	if err := e.cfg.Catalog.RenewAgent(ctx, id, now, nonce); err != nil {
		return Joined{}, final(err)
	}
	return e.certify(agent)
}

func (e *Enroll) certify(agent catalog.EnrolledAgent) (Joined, error) {
	certificate, err := e.cfg.Authority.AgentCertificate(agent.PublicKey, agent.ID)
	return Joined{Agent: agent.ID, Enrollment: agent.Enrollment, Certificate: certificate, Lifetime: identity.AgentCertificateLife}, err
}

// final tells what will not change from what may.
func final(err error) error {
	switch {
	case errors.Is(err, catalog.ErrSpent):
		return ErrNonce
	case errors.Is(err, catalog.ErrNotAdmitted):
		return ErrRefused
	}
	return err
}

// HashToken is what is kept of a token.
func HashToken(token string) chunk.Hash { return chunk.Sum([]byte(token)) }

// Allows returns nil where an agent may record for a stack and fleet, else ErrScope.
func (e *Enroll) Allows(ctx context.Context, agent, stack, fleet string) error {
	enrollment, err := e.cfg.Catalog.EnrollmentOf(ctx, agent)
	if err != nil {
		return err
	}
	if !allows(enrollment.Stacks, stack) || !allows(enrollment.Fleets, fleet) {
		return ErrScope
	}
	return nil
}

func allows(patterns []string, value string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return matches(p, value) })
}

// Granting notes by which key the bus will know an agent for a while. catalog.ErrConflict where it is another agent's.
func (e *Enroll) Granting(ctx context.Context, agent, busKey string) error {
	now := time.Now()
	return e.cfg.Catalog.NoteBusKey(ctx, agent, busKey, now, now.Add(revokedFor))
}

// Revoked reports whether an agent was revoked; an error where that is not known.
func (e *Enroll) Revoked(agent string) (bool, error) {
	r := e.revoked.Load()
	if r == nil || time.Since(r.at) > staleAfter {
		return false, errStale
	}
	return r.agents[agent], nil
}

// Raise has Run look at once who was revoked. It does not block.
func (e *Enroll) Raise() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Refresh finds out who was revoked and has the bus cut them off.
func (e *Enroll) Refresh(ctx context.Context) error {
	at, now := time.Now(), time.Now()
	agents, keys, err := e.cfg.Catalog.Revoked(ctx, now.Add(-revokedFor), now)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(agents))
	for _, a := range agents {
		known[a] = true
	}
	e.revoked.Store(&revoked{at, known})
	if len(keys) == 0 && len(e.pushed) == 0 || slices.Equal(keys, e.pushed) && now.Before(e.pushAt.Add(repeatEvery)) {
		return nil
	}
	if err := e.cfg.Bus.Revoke(ctx, keys); err != nil {
		return fmt.Errorf("cut off revoked agents: %w", err)
	}
	if !slices.Equal(keys, e.pushed) {
		e.cfg.Logger.Info("revoked agents cut off from the bus", "keys", len(keys))
	}
	e.pushed, e.pushAt = keys, now
	return nil
}

// Run refreshes until ctx is done and returns nil.
func (e *Enroll) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		if err := e.Refresh(ctx); err != nil && ctx.Err() == nil {
			e.cfg.Logger.Warn("revoked agents were not looked up", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-tick.C:
		}
	}
}
