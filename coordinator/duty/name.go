package duty

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var name = regexp.MustCompile(`^[a-z0-9]{16,64}$`)

// OpenName returns the name of the coordinator whose file this is, and makes one first where there is none. One that comes back
// under its old name has its duties at once; two that run under one name would both have them.
func OpenName(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		made := strings.ToLower(rand.Text())
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", fmt.Errorf("make name: %w", err)
		}
		if err := os.WriteFile(path, []byte(made+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("make name: %w", err)
		}
		return made, nil
	}
	if err != nil {
		return "", fmt.Errorf("open name: %w", err)
	}
	known := strings.TrimSpace(string(raw))
	if !name.MatchString(known) {
		return "", fmt.Errorf("open name: %s is damaged", path)
	}
	return known, nil
}
