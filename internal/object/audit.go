package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// Deviation is a setting of the archive that is not as it is expected to be.
type Deviation struct {
	Setting string // "writable", "if_none_match", "versioning", "object_lock" or "lock_days"
	Want    string
	Have    string
}

// Audit compares the archive with what is expected: that it is there, can be written to and never overwrites and, for a
// bucket, the location's Expectation. It writes what Check writes. The error is ErrUnavailable where the archive cannot be
// asked. A store that another package made is not looked at.
func Audit(ctx context.Context, s Store) ([]Deviation, error) {
	a, ok := s.(interface {
		audit(ctx context.Context) ([]Deviation, error)
	})
	if !ok {
		return nil, nil
	}
	return a.audit(ctx)
}

func (d *directory) audit(ctx context.Context) ([]Deviation, error) {
	if err := d.Check(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return []Deviation{{Setting: "writable", Want: "yes", Have: oneLine(rootCause(err))}}, nil
	}
	return nil, nil
}

// rootCause is the last error in the chain, which names no temporary file.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all := joined.Unwrap()
			next = all[len(all)-1]
		}
		if next == nil {
			return err
		}
		err = next
	}
}

func (b *bucket) audit(ctx context.Context) (found []Deviation, err error) {
	err = b.tryPuts(ctx)
	switch reason := denial(err); {
	case errors.Is(err, errOverwrites):
		found = append(found, Deviation{Setting: "if_none_match", Want: "honored", Have: "ignored"})
	case reason != "":
		return []Deviation{{Setting: "writable", Want: "yes", Have: reason}}, nil
	case err != nil:
		return nil, b.auditError(ctx, err)
	}
	for _, look := range []func(context.Context) ([]Deviation, error){b.auditVersioning, b.auditLock} {
		more, err := look(ctx)
		if err != nil {
			return nil, b.auditError(ctx, err)
		}
		found = append(found, more...)
	}
	return found, nil
}

func (b *bucket) auditError(ctx context.Context, err error) error {
	return fmt.Errorf("audit archive bucket %s: %w", b.name, failure(ctx, err))
}

func (b *bucket) auditVersioning(ctx context.Context) ([]Deviation, error) {
	if !b.expect.Versioning {
		return nil, nil
	}
	have := "none"
	out, err := b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.name})
	switch reason := denial(err); {
	case reason != "":
		have = reason
	case err != nil:
		return nil, err
	case out.Status == types.BucketVersioningStatusEnabled:
		return nil, nil
	case out.Status != "":
		have = strings.ToLower(string(out.Status))
	}
	return []Deviation{{Setting: "versioning", Want: "enabled", Have: have}}, nil
}

func (b *bucket) auditLock(ctx context.Context) (found []Deviation, err error) {
	if b.expect.ObjectLock == "" && b.expect.LockDays == 0 {
		return nil, nil
	}
	have, days := "none", 0
	out, err := b.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.name})
	if reason := denial(err); reason != "" {
		have = reason
	} else if err != nil {
		return nil, err
	}
	if err == nil && out.ObjectLockConfiguration != nil && out.ObjectLockConfiguration.Rule != nil {
		if r := out.ObjectLockConfiguration.Rule.DefaultRetention; r != nil {
			have = strings.ToLower(string(r.Mode))
			if r.Days != nil {
				days = int(*r.Days)
			}
			if r.Years != nil {
				days = int(*r.Years) * 365
			}
		}
	}
	mode := LockMode(have)
	if want := b.expect.ObjectLock; want != "" && mode != want && mode != LockCompliance {
		found = append(found, Deviation{Setting: "object_lock", Want: string(want), Have: have})
	}
	if want := b.expect.LockDays; days < want {
		found = append(found, Deviation{Setting: "lock_days", Want: fmt.Sprintf("at least %d", want), Have: strconv.Itoa(days)})
	}
	return found, nil
}

// denial is the service's word for why it will not do what was asked until somebody changes something; empty where the same
// request may succeed later by itself.
func denial(err error) string {
	var response *awshttp.ResponseError
	var api smithy.APIError
	if !errors.As(err, &response) || !errors.As(err, &api) {
		return ""
	}
	switch response.HTTPStatusCode() {
	case http.StatusMovedPermanently, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return api.ErrorCode()
	}
	return ""
}
