package bus

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FileConfig says what goes into the configuration of a broker of one's own.
type FileConfig struct {
	// Listen is HOST:PORT.
	Listen string
	// StoreDir is where the broker keeps its streams, StoreBytes how much of it there may be.
	StoreDir   string
	StoreBytes int64
	// Certificate and PrivateKey are paths of PEM files.
	Certificate, PrivateKey string
}

// WriteServerConfig writes the configuration of a nats-server that trusts what this Trust signs and that acknowledges only
// what is on its disk. The file holds no private key. Blocking; it replaces what was at path.
func (t *Trust) WriteServerConfig(path string, cfg FileConfig) error {
	for name, value := range map[string]string{"listen": cfg.Listen, "store directory": cfg.StoreDir, "certificate": cfg.Certificate, "private key": cfg.PrivateKey} {
		if value == "" || strings.ContainsAny(value, "\"\\\n\r") {
			return fmt.Errorf("write broker configuration: %s %q: %w", name, value, errors.New("empty, or not to be quoted"))
		}
	}
	_, operator, err := t.Operator()
	if err != nil {
		return fmt.Errorf("write broker configuration: %w", err)
	}
	accounts, err := t.Accounts()
	if err != nil {
		return fmt.Errorf("write broker configuration: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# nats-server -c %s
listen: "%s"
max_payload: 1MB
write_deadline: "10s"
tls { cert_file: "%s", key_file: "%s", handshake_first: true }
# Without "always" the broker acknowledges what a power cut takes away; recfleet refuses such a broker.
jetstream { store_dir: "%s", max_file: %d, sync_interval: always }
operator: %s
system_account: %s
resolver: MEMORY
resolver_preload: {
`, filepath.Base(path), cfg.Listen, cfg.Certificate, cfg.PrivateKey, cfg.StoreDir, cfg.StoreBytes, operator, t.SystemAccount())
	for _, key := range slices.Sorted(maps.Keys(accounts)) {
		fmt.Fprintf(&b, "  %s: %s\n", key, accounts[key])
	}
	b.WriteString("}\n")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write broker configuration: %w", err)
	}
	return nil
}
