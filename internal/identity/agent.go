package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// AgentCertificateLife is how long an agent's certificate is good. It is short because nothing but a renewal ends what was
// stolen from an instance that nobody knows of.
const AgentCertificateLife = time.Hour

// Agents are named in their certificates by this URI and their id.
const agentScheme, agentHost = "recfleet", "agent"

// Tokens by which agents join begin so: with a secret, or with the id of an enrollment for identities of AWS.
const (
	enrollmentPrefix    = "rfj-"
	awsEnrollmentPrefix = "rfw-"
)

var agentID = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// NewEnrollmentToken makes a token by which agents join.
func NewEnrollmentToken() string { return enrollmentPrefix + random() }

// NewAWSEnrollmentToken makes the token of an enrollment that wants an identity of AWS; it is no secret.
func NewAWSEnrollmentToken() string { return awsEnrollmentPrefix + random() }

// IsEnrollment reports whether a token is for joining, and not for calls.
func IsEnrollment(token string) bool {
	return strings.HasPrefix(token, enrollmentPrefix) || IsAWSEnrollment(token)
}

// IsAWSEnrollment reports whether joining by a token needs an identity of AWS.
func IsAWSEnrollment(token string) bool { return strings.HasPrefix(token, awsEnrollmentPrefix) }

// NewAgentID makes an id.
func NewAgentID() string { return strings.ToLower(rand.Text()) }

// AgentCertificate returns a certificate (DER) by which the holder of a key is known as an agent for AgentCertificateLife.
func (a *Authority) AgentCertificate(key ed25519.PublicKey, id string) ([]byte, error) {
	if len(key) != ed25519.PublicKeySize || !agentID.MatchString(id) {
		return nil, fmt.Errorf("make certificate of agent %.64q: key or id is malformed", id)
	}
	template := certificateTemplate("recfleet agent", AgentCertificateLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.URIs = []*url.URL{{Scheme: agentScheme, Host: agentHost, Path: "/" + id}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of agent %s: %w", id, err)
	}
	return der, nil
}

// AgentID returns the agent that a certificate names; false where it names none. Whether the certificate is good is not looked
// at.
func AgentID(c *x509.Certificate) (string, bool) {
	if len(c.URIs) != 1 {
		return "", false
	}
	u := c.URIs[0]
	id, ok := strings.CutPrefix(u.Path, "/")
	return id, ok && u.Scheme == agentScheme && u.Host == agentHost && agentID.MatchString(id) && u.String() == agentScheme+"://"+agentHost+"/"+id
}

// Pool returns the authority as the one to trust.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Secret returns 32 bytes that only who has the authority's key can know, others for each purpose. Coordinators that share an
// authority have the same.
func (a *Authority) Secret(purpose string) ([]byte, error) {
	raw, err := a.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	secret, err := hkdf.Key(sha256.New, raw, nil, "recfleet "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	return secret, nil
}

// EnrollProof is what an agent signs to have its key enrolled.
func EnrollProof(nonce string, key ed25519.PublicKey, machine string) []byte {
	return proof("recfleet enroll", nonce, string(key), machine)
}

// RenewProof is what an agent signs to have another certificate.
func RenewProof(nonce, agent, machine string) []byte {
	return proof("recfleet renew", nonce, agent, machine)
}

// proof joins fields so that no two lists of them give the same.
func proof(fields ...string) (b []byte) {
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}
