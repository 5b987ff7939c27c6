package x11

import (
	"fmt"
	"os"
	"strconv"
)

const (
	// maxAuthority bounds an authority file; a real one has some hundred bytes.
	maxAuthority = 64 << 10
	// maxCookies bounds how many cookies are tried.
	maxCookies = 16
	cookieSize = 16
)

// readCookies returns the cookies for a display out of an authority file.
func readCookies(path string, number int) ([][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxAuthority {
		return nil, fmt.Errorf("read authority: %s is no authority file", path)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	cookies := parseCookies(file, strconv.Itoa(number))
	if len(cookies) == 0 {
		return nil, fmt.Errorf("%w: no cookie for display %d in %s", ErrRefused, number, path)
	}
	return cookies, nil
}

// parseCookies picks the cookies for a display out of an authority file. Where
// the file is cut, what comes before counts.
func parseCookies(file []byte, display string) [][]byte {
	var cookies [][]byte
	for len(file) > 2 && len(cookies) < maxCookies {
		file = file[2:] // the address family
		var fields [4]string
		for i := range fields {
			if len(file) < 2 {
				return cookies
			}
			size := int(file[0])<<8 | int(file[1])
			if len(file) < 2+size {
				return cookies
			}
			fields[i] = string(file[2 : 2+size])
			file = file[2+size:]
		}
		// fields[0] is the host's address. The file belongs to the server on this
		// machine, and an instance may have another name by now.
		owner, protocol, cookie := fields[1], fields[2], fields[3]
		if (owner == "" || owner == display) && protocol == cookieProtocol && len(cookie) == cookieSize {
			cookies = append(cookies, []byte(cookie))
		}
	}
	return cookies
}
