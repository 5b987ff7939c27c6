package object

import (
	"net/url"
	"strconv"
	"strings"
)

// maxLockDays is a hundred years.
const maxLockDays = 36500

// Expectation is what an operator says that the bucket has. Reading it takes the rights s3:GetBucketVersioning and
// s3:GetBucketObjectLockConfiguration; nothing is asked where nothing is expected.
type Expectation struct {
	// Versioning is enabled.
	Versioning bool
	// ObjectLock is the mode of the default retention: LockGovernance, which LockCompliance also satisfies, or
	// LockCompliance; empty where none is expected.
	ObjectLock LockMode
	// LockDays is the least default retention; 0 takes any.
	LockDays int
}

// LockMode is how firmly objects are locked.
type LockMode string

// The modes.
const (
	LockGovernance LockMode = "governance"
	LockCompliance LockMode = "compliance"
)

// set takes an option of a location.
func (e *Expectation) set(name, value string) error {
	var err error
	switch name {
	case "versioning":
		if e.Versioning, err = strconv.ParseBool(value); err != nil {
			return locationError("versioning is not true or false")
		}
	case "object_lock":
		e.ObjectLock = LockMode(strings.ToLower(value))
		if e.ObjectLock != LockGovernance && e.ObjectLock != LockCompliance {
			return locationError("object_lock is not governance or compliance")
		}
	case "lock_days":
		if e.LockDays, err = strconv.Atoi(value); err != nil || e.LockDays < 1 || e.LockDays > maxLockDays {
			return locationError("lock_days is not a number of days from 1 to %d", maxLockDays)
		}
	}
	return nil
}

// write adds the options from which set makes the same.
func (e Expectation) write(options url.Values) {
	if e.Versioning {
		options.Set("versioning", "true")
	}
	if e.ObjectLock != "" {
		options.Set("object_lock", string(e.ObjectLock))
	}
	if e.LockDays > 0 {
		options.Set("lock_days", strconv.Itoa(e.LockDays))
	}
}
