package enroll

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// Machine returns what tells this instance from every other that was made of the same image. It is the same after a restart where
// the machine's own number can be read, which needs root; else it changes at every boot.
func Machine(root string) string {
	const number, boot = "sys/class/dmi/id/product_uuid", "proc/sys/kernel/random/boot_id"
	parts := []string{read(root, "etc/machine-id")}
	if n := read(root, number); n != "" {
		parts = append(parts, "number", n)
	} else {
		parts = append(parts, "boot", read(root, boot))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}

func read(root, name string) string {
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
