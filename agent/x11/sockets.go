package x11

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// socketDir is where every X server puts its socket.
const socketDir = "/tmp/.X11-unix"

// Sockets returns the names of the displays that have a socket, lowest number
// first. A server that crashed leaves its socket behind: Open tells.
func Sockets() ([]string, error) { return sockets(socketDir) }

func sockets(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list displays: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), "X")
		number, err := parseNumber(digits)
		if ok && err == nil && entry.Type() == fs.ModeSocket {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	var names []string
	for _, number := range numbers {
		names = append(names, ":"+strconv.Itoa(number))
	}
	return names, nil
}

// parseDisplay reads a local display's name: ":1", ":1.0" or "unix:1".
func parseDisplay(name string) (int, error) {
	digits, ok := strings.CutPrefix(strings.TrimPrefix(name, "unix"), ":")
	if !ok {
		return 0, fmt.Errorf("%w: the name is not of the form :1", ErrNoDisplay)
	}
	number, err := parseNumber(strings.TrimSuffix(digits, ".0"))
	if err != nil {
		return 0, fmt.Errorf("%w: the name is not of the form :1", ErrNoDisplay)
	}
	return number, nil
}

// parseNumber takes digits only, written the one way a server writes them.
func parseNumber(digits string) (int, error) {
	number, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return 0, err
	}
	if strconv.FormatUint(number, 10) != digits {
		return 0, strconv.ErrSyntax
	}
	return int(number), nil
}
