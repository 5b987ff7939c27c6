package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Subjects. A chunk's is chunks.<session>.<segment>.<seq>; its stream is C_<session>.
const (
	chunkSubjects = "chunks.>"
	streamPrefix  = "C_"
	inboxPrefix   = "_INBOX_"
	directGet     = "$JS.API.DIRECT.GET."
)

// Agents publish chunks of at most 256 KiB with some headers; twice that leaves room and stays below the broker's limit.
const agentPayloadBytes = 640 << 10

// Trust holds the keys from which every right on the bus comes, in NATS's operator mode
// (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt).
//
// There are three accounts. FLEET owns the streams; the coordinator is its full user, encoders are users that may only read
// chunks. AGENTS has no JetStream and imports the chunk subjects of FLEET as a private service: the broker acknowledges to
// whatever reply subject a publisher names, and in an account of its own an agent can aim that at nothing. SYSTEM serves to
// ask servers for their configuration.
type Trust struct {
	seeds map[string]nkeys.KeyPair
}

// The keys of a Trust by the names under which they are kept.
const (
	keyOperator   = "operator"
	keySystem     = "system"
	keyFleet      = "fleet"
	keyAgents     = "agents"
	keyAgentRole  = "agent_role"
	keyReaderRole = "encoder_role"
)

// OpenTrust returns the keys kept in dir (trust.json, mode 0600), and makes them first where there are none.
func OpenTrust(dir string) (*Trust, error) {
	path := filepath.Join(dir, "trust.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if raw, err = makeTrust(path); err != nil {
			return nil, fmt.Errorf("make bus trust: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("open bus trust: %w", err)
	}
	var kept map[string]string
	if err := json.Unmarshal(raw, &kept); err != nil {
		return nil, fmt.Errorf("open bus trust %s: damaged", path)
	}
	t := &Trust{seeds: map[string]nkeys.KeyPair{}}
	for _, name := range []string{keyOperator, keySystem, keyFleet, keyAgents, keyAgentRole, keyReaderRole} {
		pair, err := nkeys.FromSeed([]byte(kept[name]))
		if err != nil {
			return nil, fmt.Errorf("open bus trust %s: key %s: %w", path, name, err)
		}
		t.seeds[name] = pair
		valid := nkeys.IsValidPublicAccountKey
		if name == keyOperator {
			valid = nkeys.IsValidPublicOperatorKey
		}
		if public, err := pair.PublicKey(); err != nil || !valid(public) {
			return nil, fmt.Errorf("open bus trust %s: key %s: is one for something else", path, name)
		}
	}
	return t, nil
}

func makeTrust(path string) ([]byte, error) {
	kept := map[string]string{}
	for _, name := range []string{keyOperator, keySystem, keyFleet, keyAgents, keyAgentRole, keyReaderRole} {
		create := nkeys.CreateAccount
		if name == keyOperator {
			create = nkeys.CreateOperator
		}
		pair, err := create()
		if err != nil {
			return nil, err
		}
		seed, err := pair.Seed()
		if err != nil {
			return nil, err
		}
		kept[name] = string(seed)
	}
	raw, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// A half-written file is refused at the next start, never used.
	return raw, os.WriteFile(path, raw, 0o600)
}

func (t *Trust) public(name string) string {
	key, err := t.seeds[name].PublicKey()
	if err != nil {
		panic(err) // the pair was made from a seed that was checked
	}
	return key
}

// SystemAccount returns the public key of the account in which servers tell of themselves.
func (t *Trust) SystemAccount() string { return t.public(keySystem) }

// Operator returns the claims that a server is to trust, and their JWT.
func (t *Trust) Operator() (*jwt.OperatorClaims, string, error) {
	claims := jwt.NewOperatorClaims(t.public(keyOperator))
	claims.Name = "recfleet"
	claims.SystemAccount = t.public(keySystem)
	encoded, err := claims.Encode(t.seeds[keyOperator])
	return claims, encoded, err
}

// Accounts returns the accounts' JWTs by public key.
func (t *Trust) Accounts() (map[string]string, error) {
	system := jwt.NewAccountClaims(t.public(keySystem))
	system.Name = "SYSTEM"

	fleet := jwt.NewAccountClaims(t.public(keyFleet))
	fleet.Name = "FLEET"
	fleet.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	fleet.Exports.Add(&jwt.Export{
		Name: "chunks", Subject: chunkSubjects, Type: jwt.Service, ResponseType: jwt.ResponseTypeSingleton, TokenReq: true,
	})
	fleet.SigningKeys.AddScopedSigner(scope(t.public(keyReaderRole), "encoder", jwt.UserPermissionLimits{
		Permissions: jwt.Permissions{
			Pub: jwt.Permission{Allow: jwt.StringList{directGet + "*." + chunkSubjects}},
			Sub: jwt.Permission{Allow: jwt.StringList{inboxPrefix + "{{tag(holder)}}.>"}},
		},
		Limits: jwt.Limits{NatsLimits: jwt.NatsLimits{Subs: jwt.NoLimit, Data: jwt.NoLimit, Payload: 1 << 10}},
	}))

	agents, err := t.agentsAccount()
	if err != nil {
		return nil, err
	}

	encoded := map[string]string{}
	for name, claims := range map[string]*jwt.AccountClaims{keySystem: system, keyFleet: fleet, keyAgents: agents} {
		if encoded[t.public(name)], err = claims.Encode(t.seeds[keyOperator]); err != nil {
			return nil, err
		}
	}
	return encoded, nil
}

// agentsAccount returns the claims of the account that agents are in.
func (t *Trust) agentsAccount() (*jwt.AccountClaims, error) {
	agents := jwt.NewAccountClaims(t.public(keyAgents))
	agents.Name = "AGENTS"
	activation := jwt.NewActivationClaims(t.public(keyAgents))
	activation.Name, activation.ImportSubject, activation.ImportType = "chunks", chunkSubjects, jwt.Service
	token, err := activation.Encode(t.seeds[keyFleet])
	if err != nil {
		return nil, err
	}
	agents.Imports.Add(&jwt.Import{Name: "chunks", Account: t.public(keyFleet), Subject: chunkSubjects, Type: jwt.Service, Token: token})
	agents.SigningKeys.AddScopedSigner(scope(t.public(keyAgentRole), "agent", jwt.UserPermissionLimits{
		Permissions: jwt.Permissions{
			Pub: jwt.Permission{Allow: jwt.StringList{"chunks.{{tag(holder)}}.>"}},
			Sub: jwt.Permission{Allow: jwt.StringList{inboxPrefix + "{{tag(holder)}}.>"}},
		},
		Limits: jwt.Limits{NatsLimits: jwt.NatsLimits{Subs: 8, Data: jwt.NoLimit, Payload: agentPayloadBytes}},
	}))
	return agents, nil
}

func scope(key, role string, template jwt.UserPermissionLimits) *jwt.UserScope {
	s := jwt.NewUserScope()
	s.Key, s.Role = key, role
	template.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeInProcess}
	s.Template = template
	return s
}

// agentJWT returns a right to publish the chunks of one session, and nothing else.
func (t *Trust) agentJWT(publicKey, session string, life time.Duration) (string, error) {
	return t.scopedJWT(publicKey, session, keyAgentRole, keyAgents, life)
}

// encoderJWT returns a right to read chunks, and nothing else.
func (t *Trust) encoderJWT(publicKey, encoder string, life time.Duration) (string, error) {
	return t.scopedJWT(publicKey, encoder, keyReaderRole, keyFleet, life)
}

// scopedJWT signs with a key that can only make users that fit its template. A tag is lower-cased by the JWT library and a
// wildcard in it would widen the right, so only ids of the session's form are signed for.
func (t *Trust) scopedJWT(publicKey, holder, role, account string, life time.Duration) (string, error) {
	if !validKey(publicKey) {
		return "", fmt.Errorf("sign bus right: %w", ErrKey)
	}
	if !chunk.ValidSession(holder) {
		return "", fmt.Errorf("sign bus right: holder %q cannot be named in a subject", holder)
	}
	user := jwt.NewUserClaims(publicKey)
	user.Name, user.IssuerAccount = holder, t.public(account)
	user.SetScoped(true)
	user.Tags.Add("holder:" + holder)
	user.Expires = time.Now().Add(life).Unix()
	return user.Encode(t.seeds[role])
}

// fullJWT returns all rights in an account; it never leaves the coordinator.
func (t *Trust) fullJWT(key *Key, account, name string) (string, error) {
	user := jwt.NewUserClaims(key.Public())
	user.Name = name
	return user.Encode(t.seeds[account])
}

func validKey(publicKey string) bool { return nkeys.IsValidPublicUserKey(publicKey) }
