package evidence

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Where the files of a day lie below the archive's root.
const (
	Folder        = "evidence/"
	DigestName    = "digest.json"
	SignatureName = "digest.json.sig" // 64 bytes: Ed25519 over the bytes of the digest
	AuditName     = "audit.ndjson"
)

// What digests and audit files say of themselves.
const (
	DigestFormat = "recfleet digest"
	AuditFormat  = "recfleet audit"
	Version      = 1
)

// Day is a day of UTC, as 2006-01-02.
type Day string

const dayForm = "2006-01-02"

// DayOf is the day of an instant.
func DayOf(t time.Time) Day { return Day(t.UTC().Format(dayForm)) }

// ParseDay reads a day.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(dayForm, s)
	if err != nil || DayOf(t) != Day(s) {
		return "", fmt.Errorf("parse day: %q is not of the form 2006-01-02", s)
	}
	return Day(s), nil
}

// Start is the day's first instant.
func (d Day) Start() time.Time {
	t, err := time.Parse(dayForm, string(d))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Next is the day after.
func (d Day) Next() Day { return DayOf(d.Start().AddDate(0, 0, 1)) }

// Key is where a file of the day lies.
func (d Day) Key(name string) string {
	return Folder + strings.ReplaceAll(string(d), "-", "/") + "/" + name
}

// Digest is what an installation says of one day, signed, and chained to what it said of the day before.
type Digest struct {
	Format   string `json:"format"`
	Version  int    `json:"version"`
	Day      Day    `json:"day"`
	Number   int64  `json:"number"`             // from 1 without holes
	Previous string `json:"previous,omitempty"` // SHA-256 of the digest of the day before; empty in the first
	// Closed are the sessions that were closed that day, or before and not told of yet.
	Closed []Closed `json:"closed"`
	// Amended are addenda to manifests of sessions that were closed before: what could not be encoded then was encoded after all.
	Amended []Amended `json:"amended,omitempty"`
	// Deleted are those whose recordings were deleted by order or because their time was over.
	Deleted []Deleted `json:"deleted"`
	Audit   AuditFile `json:"audit"`
}

// Closed is a session from whose manifest on nothing of it changes but by addenda.
type Closed struct {
	Session  string    `json:"session"`
	State    string    `json:"state"`
	Time     time.Time `json:"time"`
	Manifest File      `json:"manifest"` // without a SHA-256 where there was none any more
}

// Amended is a manifest that goes on from an earlier one of its session.
type Amended struct {
	Session  string    `json:"session"`
	Number   int       `json:"number"` // from 2
	Time     time.Time `json:"time"`
	Manifest File      `json:"manifest"`
}

// File is an object of the archive.
type File struct {
	Key     string `json:"key"`
	Version string `json:"version,omitempty"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// Deleted is a session whose recordings are gone, and why.
type Deleted struct {
	Session string    `json:"session"`
	Folder  string    `json:"folder"`
	Ordered time.Time `json:"ordered_time"`
	Done    time.Time `json:"done_time"`
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
}

// AuditFile is the day's part of the audit: a line that says what it is, then one record a line. Last is First-1 where there is none.
type AuditFile struct {
	File
	First    int64      `json:"first"`
	Last     int64      `json:"last"`
	Previous chunk.Hash `json:"previous_hash"` // of the record before First
	Head     chunk.Hash `json:"hash"`          // of the last record up to here
}

// AuditHeader is the first line of a day's audit file.
type AuditHeader struct {
	Format   string     `json:"format"`
	Version  int        `json:"version"`
	Day      Day        `json:"day"`
	First    int64      `json:"first"`
	Previous chunk.Hash `json:"previous_hash"`
}

// Encode returns the digest as it is archived and signed.
func (d Digest) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write digest: %w", err)
	}
	return append(raw, '\n'), nil
}

// ParseDigest reads a digest. It fails for anything else, and for a version that is not known here.
func ParseDigest(raw []byte) (Digest, error) {
	var d Digest
	if err := json.Unmarshal(raw, &d); err != nil {
		return Digest{}, errors.New("parse digest: not the JSON of one")
	}
	switch {
	case d.Format != DigestFormat:
		return Digest{}, fmt.Errorf("parse digest: format %q is not %q", d.Format, DigestFormat)
	case d.Version != Version:
		return Digest{}, fmt.Errorf("parse digest: version %d is not known", d.Version)
	}
	_, err := ParseDay(string(d.Day))
	return d, err
}

// maxLine bounds a line of an audit file.
const maxLine = 1 << 20

// ReadAudit reads a day's audit file and calls see for each record, in order. It fails where the file is none, or a record does
// not follow the one before, and returns what the file holds up to there.
func ReadAudit(r io.Reader, see func(Record) error) (h AuditHeader, last Record, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	if !lines.Scan() {
		return h, last, errors.Join(errors.New("read audit file: it is empty"), lines.Err())
	}
	if json.Unmarshal(lines.Bytes(), &h) != nil || h.Format != AuditFormat || h.Version != Version {
		return h, last, errors.New("read audit file: its first line is not that of one")
	}
	last = Record{Number: h.First - 1, Hash: h.Previous}
	for lines.Scan() {
		var one Record
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return h, last, fmt.Errorf("read audit file: after record %d comes something else", last.Number)
		}
		if err := one.Follows(last); err != nil {
			return h, last, err
		}
		if last = one; see != nil {
			if err := see(one); err != nil {
				return h, last, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return h, last, fmt.Errorf("read audit file: %w", err)
	}
	return h, last, nil
}
