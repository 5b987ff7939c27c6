package object

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrLocation means that the archive's URL cannot be used as it is written. The message is one line and repeats no secret.
var ErrLocation = errors.New("archive location")

// Scheme is the kind of a location.
type Scheme string

// The kinds of location.
const (
	SchemeFile Scheme = "file"
	SchemeS3   Scheme = "s3"
)

// maxRootBytes bounds the part of a bucket's keys that the location fixes.
const maxRootBytes = 200

// Location is where the archive lies: a root, and the template of a session's folder below it.
type Location struct {
	// Scheme decides which of the other fields count.
	Scheme Scheme
	// Dir is the root directory, absolute and clean.
	Dir string
	// Bucket of S3.
	Bucket string
	// Prefix is the root within the bucket: empty, or ending with a slash.
	Prefix string
	// Endpoint is the URL of an S3 service other than AWS's default, or empty.
	Endpoint string
	// Region of the bucket; empty leaves it to the AWS configuration.
	Region string
	// PathStyle puts the bucket into the path of a request instead of the host name.
	PathStyle bool
	// Expect is what Audit expects of the bucket beyond what every store needs.
	Expect Expectation
	// Storage is how the bucket is told to keep each object.
	Storage Storage
	// Presign is how long links to objects are good; 0 for no links.
	Presign time.Duration
	// Template of a session's folder below the root.
	Template Template
}

// ParseLocation reads file:///path/{start_date}/{username}/{session_id}/ or s3://bucket[@endpoint]/prefix/{...}/.
// What stands before the first path segment with a { is the root; the rest is the template, by default
// {start_date}/{username}/{session_id}/. Options of s3, after a ?: region=NAME, path_style=BOOL (default true with an
// endpoint, else false), insecure=true (plain HTTP; only with an endpoint); how each object is kept (see Storage): sse=s3|kms,
// presign=1s to 60s (see Links), kms_key=ID, storage_class=NAME, retain=governance|compliance, retain_days=N, tag.NAME=VALUE; and what the bucket is expected to
// have (see Expectation): versioning=true, object_lock=governance|compliance, lock_days=N. Credentials never belong into the URL:
// they come from the AWS configuration. Errors wrap ErrLocation.
func ParseLocation(text string) (Location, error) {
	if text == "" {
		return Location{}, locationError("empty; write file:///path or s3://bucket/prefix")
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Location{}, locationError("control character or broken UTF-8")
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return Location{}, locationError("no scheme; write file:///path or s3://bucket/prefix")
	}
	if strings.Contains(rest, "#") {
		return Location{}, locationError("a # fragment has no meaning; write %%23 for the character")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	root, template, err := splitPath(path)
	if err != nil {
		return Location{}, err
	}
	loc := Location{Scheme: Scheme(strings.ToLower(scheme))}
	switch loc.Scheme {
	case SchemeFile:
		err = loc.setFile(authority, root, query)
	case SchemeS3:
		err = loc.setS3(authority, root, query)
	default:
		err = locationError("unknown scheme %s; known: file, s3", printable(scheme))
	}
	if err != nil {
		return Location{}, err
	}
	if template == "" {
		template = defaultTemplate
	}
	if loc.Template, err = ParseTemplate(template); err != nil {
		return Location{}, err
	}
	if err := loc.Storage.check(loc.Template); err != nil {
		return Location{}, err
	}
	return loc, nil
}

// splitPath cuts a URL's path, without its first slash, into the root's segments and the template.
func splitPath(path string) (root []string, template string, err error) {
	if lower := strings.ToLower(path); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
		return nil, "", locationError("an escaped slash or backslash in the path")
	}
	path, err = url.PathUnescape(path)
	if err != nil {
		return nil, "", locationError("a broken %% escape in the path")
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return nil, "", locationError("control character or broken UTF-8")
	}
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return nil, "", nil
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		switch {
		case s == "":
			return nil, "", locationError("an empty segment (//) in the path")
		case s == "." || s == "..":
			return nil, "", locationError("a %s segment in the path", s)
		case strings.Contains(s, "{"):
			return segments[:i], strings.Join(segments[i:], "/"), nil
		case strings.Contains(s, "}"):
			return nil, "", locationError("unbalanced brace: a } without {")
		}
	}
	return segments, "", nil
}

func (l *Location) setFile(authority string, root []string, query string) error {
	switch {
	case strings.Contains(authority, "@"):
		return locationError("user info has no meaning in file://")
	case authority != "" && authority != "localhost":
		return locationError("relative path or host %s; write file:///absolute/path", printable(authority))
	case query != "":
		return locationError("file:// takes no options")
	case len(root) == 0:
		return locationError("no directory before the first variable")
	}
	l.Dir = filepath.FromSlash("/" + strings.Join(root, "/"))
	return nil
}

func (l *Location) setS3(authority string, root []string, query string) error {
	bucket, endpoint, hasEndpoint := strings.Cut(authority, "@")
	if strings.Contains(bucket, ":") {
		return locationError("credentials or a port before the endpoint; credentials come from the AWS configuration")
	}
	if bucket == "" {
		return locationError("empty bucket name; write s3://bucket/prefix")
	}
	if !validBucket(bucket) {
		return locationError("bucket name %s is not valid", printable(bucket))
	}
	l.Bucket = bucket
	if hasEndpoint && !validEndpoint(endpoint) {
		return locationError("endpoint is not HOST or HOST:PORT")
	}
	if len(root) > 0 {
		for _, name := range root {
			if why := badName(name); why != "" {
				return locationError("prefix has %s", why)
			}
		}
		l.Prefix = strings.Join(root, "/") + "/"
	}
	if len(l.Prefix) > maxRootBytes {
		return locationError("prefix of %d bytes, at most %d", len(l.Prefix), maxRootBytes)
	}
	l.PathStyle = hasEndpoint
	insecure, err := l.setOptions(query)
	if err != nil {
		return err
	}
	switch {
	case insecure && !hasEndpoint:
		return locationError("insecure=true needs an endpoint")
	case insecure:
		l.Endpoint = "http://" + endpoint
	case hasEndpoint:
		l.Endpoint = "https://" + endpoint
	}
	return nil
}

// String is the location as ParseLocation reads it, in one canonical form. It holds no secret.
func (l Location) String() string {
	if l.Scheme == SchemeFile {
		u := url.URL{Scheme: "file", Path: filepath.ToSlash(l.Dir)}
		return u.String() + "/" + l.Template.String()
	}
	s := "s3://" + l.Bucket
	options := url.Values{}
	if l.Endpoint != "" {
		scheme, host, _ := strings.Cut(l.Endpoint, "://")
		s += "@" + host
		if scheme == "http" {
			options.Set("insecure", "true")
		}
	}
	s += "/" + l.Prefix + l.Template.String()
	if l.Region != "" {
		options.Set("region", l.Region)
	}
	if l.PathStyle != (l.Endpoint != "") {
		options.Set("path_style", strconv.FormatBool(l.PathStyle))
	}
	if l.Presign > 0 {
		options.Set("presign", l.Presign.String())
	}
	l.Expect.write(options)
	l.Storage.write(options)
	if len(options) > 0 {
		s += "?" + options.Encode()
	}
	return s
}

// validBucket takes the names of AWS and, since other services have them, underscores.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._", c) {
			return false
		}
	}
	return !strings.ContainsAny(name[:1]+name[len(name)-1:], "-._")
}

func validRegion(name string) bool {
	if name == "" || len(name) > 40 {
		return false
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// validEndpoint takes HOST or HOST:PORT, where HOST is a name, an IPv4 address or an IPv6 address in brackets.
func validEndpoint(endpoint string) bool {
	u, err := url.Parse("https://" + endpoint)
	if err != nil || u.Host != endpoint || u.Hostname() == "" || strings.HasSuffix(endpoint, ":") {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		return net.ParseIP(host) != nil
	}
	for _, c := range host {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// locationError makes the one line that names what is wrong.
func locationError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrLocation}, args...)...)
}

// printable quotes a piece of the URL for a message, cut to a bearable length.
func printable(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strconv.Quote(s)
}
