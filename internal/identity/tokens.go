package identity

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Tokens are the secrets by which an installation's callers are known, one for each role.
type Tokens struct {
	// Admin may call everything.
	Admin string `json:"admin"`
	// Agent may register and report sessions.
	Agent string `json:"agent"`
	// Encoder may lease and complete jobs.
	Encoder string `json:"encoder"`
}

// OpenTokens returns the tokens kept in dir (tokens.json), and makes them first where there are none.
func OpenTokens(dir string) (Tokens, error) {
	path := filepath.Join(dir, "tokens.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return makeTokens(path)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("open tokens: %w", err)
	}
	var t Tokens
	if err := json.Unmarshal(raw, &t); err != nil || t.Admin == "" || t.Agent == "" || t.Encoder == "" {
		return Tokens{}, fmt.Errorf("open tokens: %s is damaged", path)
	}
	return t, nil
}

// WriteClients writes a client file for each role into dir: client.json for administrators, agent.json, encoder.json; that of a
// role without a token is removed. The
// address and the authority's certificate are those of the coordinator.
func (t Tokens) WriteClients(dir, address, caCertificate string) error {
	for name, token := range map[string]string{"client.json": t.Admin, "agent.json": t.Agent, "encoder.json": t.Encoder} {
		if token == "" {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove client file: %w", err)
			}
			continue
		}
		c := Client{Address: address, CACertificate: caCertificate, Token: token}
		if err := c.Write(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func makeTokens(path string) (Tokens, error) {
	t := Tokens{Admin: "rfa-" + random(), Agent: "rfg-" + random(), Encoder: "rfe-" + random()}
	raw, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return Tokens{}, fmt.Errorf("make tokens: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Tokens{}, fmt.Errorf("make tokens: %w", err)
	}
	if err := WriteSecret(path, raw); err != nil {
		return Tokens{}, fmt.Errorf("make tokens: %w", err)
	}
	return t, nil
}

// random returns 256 random bits in lower-case letters and digits.
func random() string { return strings.ToLower(rand.Text() + rand.Text()) }
