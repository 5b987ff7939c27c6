package object

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Storage is how a bucket is told to keep each object. The zero Storage leaves it to the bucket.
type Storage struct {
	// Encryption is EncryptionS3 or EncryptionKMS; empty leaves it to the bucket's default.
	Encryption Encryption
	// KMSKey is the id, ARN or alias of the key; only with EncryptionKMS, where empty means the account's own for S3.
	KMSKey string
	// Class is the storage class, one from which objects can be read at once; empty means the bucket's default.
	Class string
	// Retain locks every object in this mode for RetainDays from its put on; both are set or none is.
	Retain     LockMode
	RetainDays int
	// Tags are put on every object, at most ten, sorted by name.
	Tags []Tag
}

// Encryption says with whose keys the service encrypts.
type Encryption string

// The kinds of encryption.
const (
	EncryptionS3  Encryption = "s3"  // keys of the service
	EncryptionKMS Encryption = "kms" // keys of the key management service
)

// readable are the storage classes whose objects can be read at once.
var readable = []types.StorageClass{ //nolint:gochecknoglobals // a table that is never written
	types.StorageClassStandard, types.StorageClassStandardIa, types.StorageClassOnezoneIa, types.StorageClassIntelligentTiering,
	types.StorageClassGlacierIr, types.StorageClassReducedRedundancy,
}

// maxKMSKey is the longest key id that is passed on.
const maxKMSKey = 256

// set takes an option of a location.
func (s *Storage) set(name, value string) error {
	switch name {
	case "sse":
		s.Encryption = Encryption(strings.ToLower(value))
		if s.Encryption != EncryptionS3 && s.Encryption != EncryptionKMS {
			return locationError("sse is not s3 or kms")
		}
	case "kms_key":
		if value == "" || len(value) > maxKMSKey || strings.ContainsFunc(value, func(r rune) bool {
			return (r > 0x7f || !keptByte(byte(r))) && r != ':' && r != '/'
		}) {
			return locationError("kms_key is not a key's id, ARN or alias")
		}
		s.KMSKey = value
	case "storage_class":
		class := types.StorageClass(strings.ToUpper(value))
		switch {
		case slices.Contains(readable, class):
			s.Class = string(class)
		case slices.Contains(class.Values(), class):
			return locationError("storage_class %s cannot be read at once; let a lifecycle rule of the bucket move objects there", class)
		default:
			return locationError("storage_class is not one of %s", joined(readable))
		}
	case "retain":
		s.Retain = LockMode(strings.ToLower(value))
		if s.Retain != LockGovernance && s.Retain != LockCompliance {
			return locationError("retain is not governance or compliance")
		}
	case "retain_days":
		var err error
		if s.RetainDays, err = strconv.Atoi(value); err != nil || s.RetainDays < 1 || s.RetainDays > maxLockDays {
			return locationError("retain_days is not a number of days from 1 to %d", maxLockDays)
		}
	}
	return nil
}

func joined[T ~string](names []T) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}

// check looks at what the options are together.
func (s Storage) check(t Template) error {
	switch {
	case s.KMSKey != "" && s.Encryption != EncryptionKMS:
		return locationError("kms_key needs sse=kms")
	case s.Retain != "" && s.RetainDays == 0:
		return locationError("retain needs retain_days")
	case s.RetainDays > 0 && s.Retain == "":
		return locationError("retain_days needs retain=governance or retain=compliance")
	case len(s.Tags) > maxTags:
		return locationError("%d tags, at most %d", len(s.Tags), maxTags)
	}
	for _, tag := range s.Tags {
		if err := tag.check(t); err != nil {
			return err
		}
	}
	return nil
}

// write adds the options from which set makes the same.
func (s Storage) write(options url.Values) {
	for name, value := range map[string]string{"sse": string(s.Encryption), "kms_key": s.KMSKey, "storage_class": s.Class, "retain": string(s.Retain)} {
		if value != "" {
			options.Set(name, value)
		}
	}
	if s.RetainDays > 0 {
		options.Set("retain_days", strconv.Itoa(s.RetainDays))
	}
	for _, tag := range s.Tags {
		options.Set(tagOption+tag.Name, tag.Value())
	}
}

// request is what a put says of how the object is kept, in the words of the S3 client.
type request struct {
	encryption types.ServerSideEncryption
	kmsKey     *string
	class      types.StorageClass
	lock       types.ObjectLockMode
	until      *time.Time
	tagging    *string
}

// request says how the object under a key is kept that is put now.
func (s Storage) request(t Template, key string, now time.Time) request {
	var r request
	switch s.Encryption {
	case EncryptionS3:
		r.encryption = types.ServerSideEncryptionAes256
	case EncryptionKMS:
		r.encryption = types.ServerSideEncryptionAwsKms
		if s.KMSKey != "" {
			r.kmsKey = &s.KMSKey
		}
	}
	if len(s.Tags) > 0 {
		values := t.values(key)
		if key == checkName {
			values = nil
		}
		tagging := tagging(s.Tags, values)
		r.tagging = &tagging
	}
	if key == checkName { // it is nobody's recording
		return r
	}
	r.class = types.StorageClass(s.Class)
	if s.Retain != "" {
		r.lock = types.ObjectLockMode(strings.ToUpper(string(s.Retain)))
		until := now.UTC().AddDate(0, 0, s.RetainDays).Truncate(time.Second)
		r.until = &until
	}
	return r
}
