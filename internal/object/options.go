package object

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// setOptions reads the options of an s3 location and returns whether plain HTTP is asked for.
func (l *Location) setOptions(query string) (insecure bool, err error) {
	options, err := url.ParseQuery(query)
	if err != nil {
		return false, locationError("options are not name=value&name=value")
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if len(options[name]) != 1 {
			return false, locationError("option %s is given twice", printable(name))
		}
		value := options.Get(name)
		if tag, ok := strings.CutPrefix(name, tagOption); ok {
			t, err := parseTag(tag, value)
			if err != nil {
				return false, err
			}
			l.Storage.Tags = append(l.Storage.Tags, t)
			continue
		}
		switch name {
		case "region":
			if !validRegion(value) {
				return false, locationError("region is not a name like eu-central-1")
			}
			l.Region = value
		case "path_style":
			if l.PathStyle, err = strconv.ParseBool(value); err != nil {
				return false, locationError("path_style is not true or false")
			}
		case "insecure":
			if insecure, err = strconv.ParseBool(value); err != nil {
				return false, locationError("insecure is not true or false")
			}
		case "presign":
			if l.Presign, err = parsePresign(value); err != nil {
				return false, err
			}
		case "versioning", "object_lock", "lock_days":
			if err := l.Expect.set(name, value); err != nil {
				return false, err
			}
		case "sse", "kms_key", "storage_class", "retain", "retain_days":
			if err := l.Storage.set(name, value); err != nil {
				return false, err
			}
		default:
			return false, locationError("unknown option %s; known: insecure, kms_key, lock_days, object_lock, path_style, presign, region, "+
				"retain, retain_days, sse, storage_class, tag.NAME, versioning", printable(name))
		}
	}
	return insecure, nil
}
