package object

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
)

// keepSum keeps the object's digest for Stat and Get. It is not synced, and failing to keep it fails nothing: a
// sidecar that is lost or torn is computed again.
func (d *directory) keepSum(info Info) {
	if sum, bytes, ok := d.readSum(info.Key); ok && sum == info.SHA256 && bytes == info.Bytes {
		return
	}
	if err := d.writeSum(info); err != nil {
		d.log.Warn("object digest not kept", "key", info.Key, "error", err)
	}
}

func (d *directory) writeSum(info Info) error {
	name := sumName(info.Key)
	if err := d.root.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	temp := path.Join(tempDir, rand.Text())
	if err := d.root.WriteFile(temp, []byte(formatSum(info.SHA256, info.Bytes)), fileMode); err != nil {
		return errors.Join(err, d.root.Remove(temp))
	}
	if err := d.root.Rename(temp, name); err != nil {
		return errors.Join(err, d.root.Remove(temp))
	}
	return nil
}

// readSum returns what the sidecar says, if there is a whole one.
func (d *directory) readSum(key string) (Digest, int64, bool) {
	text, err := d.root.ReadFile(sumName(key))
	if err != nil {
		return Digest{}, 0, false
	}
	return parseSum(string(text))
}

func sumName(key string) string { return path.Join(sumsDir, key+".sum") }

func formatSum(d Digest, bytes int64) string { return fmt.Sprintf("%s %d\n", d, bytes) }

func parseSum(text string) (d Digest, bytes int64, ok bool) {
	var sum []byte
	if n, err := fmt.Sscanf(text, "%x %d\n", &sum, &bytes); err != nil || n != 2 || len(sum) != sha256.Size {
		return Digest{}, 0, false
	}
	d = Digest(sum)
	return d, bytes, text == formatSum(d, bytes)
}
