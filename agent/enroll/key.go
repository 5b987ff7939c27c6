package enroll

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/recfleet/recfleet/internal/identity"
)

// keyFile is where, in its directory, an agent's key is.
const keyFile = "agent.key"

// key is an agent's, on the machine on which it was made.
type key struct {
	path    string
	private ed25519.PrivateKey
	machine string
	agent   string // empty before it is enrolled
}

// kept is a key as its file has it.
type kept struct {
	Seed    []byte `json:"seed"`
	Machine string `json:"machine"`
	Agent   string `json:"agent_id,omitempty"`
}

// openKey returns the key kept in dir, or a new one where there is none, it was made on another machine, as an image brings it, or
// the file is damaged; why says which, empty where it is the one that was kept.
func openKey(dir, machine string) (k key, why string, err error) {
	path := filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(path)
	var from kept
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "there was none"
	case err != nil:
		return key{}, "", fmt.Errorf("read agent key: %w", err)
	case json.Unmarshal(raw, &from) != nil || len(from.Seed) != ed25519.SeedSize:
		why = "the one that was kept is damaged"
	case from.Machine != machine:
		why = "the one that was kept is of another machine"
	default:
		return key{path: path, private: ed25519.NewKeyFromSeed(from.Seed), machine: machine, agent: from.Agent}, "", nil
	}
	k, err = newKey(path, machine)
	return k, why, err
}

// newKey makes a key and keeps it in the place of any other.
func newKey(path, machine string) (key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return key{}, fmt.Errorf("make agent key: %w", err)
	}
	k := key{path: path, private: private, machine: machine}
	return k, k.save()
}

// save keeps the key for its owner alone, whole or not at all.
func (k key) save() error {
	raw, err := json.Marshal(kept{Seed: k.private.Seed(), Machine: k.machine, Agent: k.agent})
	if err == nil {
		err = identity.WriteSecret(k.path, raw)
	}
	if err != nil {
		return fmt.Errorf("keep agent key: %w", err)
	}
	return nil
}

func (k key) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }
