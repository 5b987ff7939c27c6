package signer

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/recfleet/recfleet/internal/evidence"
)

const (
	// lineSuffix is what the name of the statements' file has after the key's: one statement a line, oldest first. It holds no secret.
	lineSuffix = ".line"
	// nextSuffix is what the next key's file has until it takes the place of the one before.
	nextSuffix = ".next"
	// maxLine is how many statements there may be.
	maxLine = 10_000
)

// Rotate makes a new key, has the one in the file say that it follows, and puts it in the file; the one before is gone then. One that
// was interrupted is gone on with. Coordinators take the new key when they are started again.
func Rotate(path string, now time.Time) (evidence.Succession, error) {
	key, line, err := load(path)
	if err != nil {
		return evidence.Succession{}, err
	}
	known, err := upTo(line, publicOf(key))
	if err != nil {
		return evidence.Succession{}, fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	next, err := newKey(path + nextSuffix)
	if err != nil {
		return evidence.Succession{}, err
	}
	if next.Equal(key) {
		return evidence.Succession{}, fmt.Errorf("%w: %s is the key that is in use", ErrKey, path+nextSuffix)
	}
	said := evidence.NewSuccession(key, publicOf(next), now)
	if len(line) > len(known) { // it was said before
		if said = line[len(known)]; len(line) > len(known)+1 || said.Key != evidence.PublicKeyOf(publicOf(next)) {
			return evidence.Succession{}, fmt.Errorf("%w: %s already names the key that follows, and it is not the one in %s; copy that key from where it was made",
				ErrKey, path+lineSuffix, path+nextSuffix)
		}
	} else if err := writeLine(path, append(known, said)); err != nil {
		return evidence.Succession{}, err
	}
	if err := errors.Join(os.Rename(path+nextSuffix, path), syncFolder(path)); err != nil {
		return evidence.Succession{}, fmt.Errorf("put key in place: %w", err)
	}
	return said, nil
}

// Adopt has a key of another file, which was there before, say that the one in the file follows on it: that was put there by hand.
func Adopt(path, before string, now time.Time) (evidence.Succession, error) {
	key, line, err := load(path)
	if err != nil {
		return evidence.Succession{}, err
	}
	previous, err := readKey(before)
	if err != nil {
		return evidence.Succession{}, err
	}
	if previous.Equal(key) {
		return evidence.Succession{}, fmt.Errorf("%w: %s holds the same key as %s", ErrKey, before, path)
	}
	if n := len(line); n > 0 && line[n-1].Key != evidence.PublicKeyOf(publicOf(previous)) {
		return evidence.Succession{}, fmt.Errorf("%w: %s does not end with the key of %s", ErrKey, path+lineSuffix, before)
	}
	said := evidence.NewSuccession(previous, publicOf(key), now)
	return said, writeLine(path, append(line, said))
}

func load(path string) (ed25519.PrivateKey, []evidence.Succession, error) {
	key, err := readKey(path)
	if err != nil {
		return nil, nil, err
	}
	line, err := readLine(path)
	return key, line, err
}

// upTo cuts a line off after the statement that leads to a key: what follows was not taken yet.
func upTo(line []evidence.Succession, key ed25519.PublicKey) ([]evidence.Succession, error) {
	if len(line) == 0 || line[0].Previous == evidence.PublicKeyOf(key) {
		return nil, nil
	}
	for n, one := range line {
		if one.Key == evidence.PublicKeyOf(key) {
			return line[: n+1 : n+1], nil
		}
	}
	return nil, errors.New("no key before has signed that this one follows; see its file with the suffix " + lineSuffix)
}

// readLine reads the statements beside a key's file; none where there is no file.
func readLine(path string) (line []evidence.Succession, err error) {
	raw, err := os.ReadFile(path + lineSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if line, err = parseLine(raw); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, path+lineSuffix, err)
	}
	return line, nil
}

func parseLine(raw []byte) (line []evidence.Succession, err error) {
	for text := range bytes.Lines(raw) {
		one, err := evidence.ParseSuccession(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(line)+1, err)
		}
		if n := len(line); n >= maxLine || n > 0 && line[n-1].Key != one.Previous {
			return nil, fmt.Errorf("line %d: it does not go on from the one before", n+1)
		}
		line = append(line, one)
	}
	if len(line) == 0 {
		return nil, errors.New("it is empty")
	}
	return line, nil
}

// writeLine puts the statements in their file, all or none.
func writeLine(path string, line []evidence.Succession) error {
	var all bytes.Buffer
	for _, one := range line {
		raw, err := one.Encode()
		if err != nil {
			return err
		}
		all.Write(raw)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".line-*")
	if err != nil {
		return fmt.Errorf("write key line: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(all.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = errors.Join(os.Rename(f.Name(), path+lineSuffix), syncFolder(path))
	}
	if err != nil {
		return fmt.Errorf("write key line: %w", err)
	}
	return nil
}

// syncFolder makes a rename beside a file last.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
