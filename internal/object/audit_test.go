package object

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func audited(t *testing.T, s Store, want ...Deviation) {
	t.Helper()
	got, err := Audit(t.Context(), s)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestAuditDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	s := openDir(t, dir, Config{})
	audited(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	audited(t, s, Deviation{"writable", "yes", "no such file or directory"})
	audited(t, s, Deviation{"writable", "yes", "no such file or directory"})
	audited(t, struct{ Store }{s})
}

// expecting is a store that expects more of the test's bucket.
func expecting(t *testing.T, name, addr string, e Expectation) Store {
	t.Helper()
	s := openS3(t, name, addr, Config{Attempts: 1})
	s.(*bucket).expect = e
	return s
}

func TestAuditBucketSettings(t *testing.T) {
	g := startGateway(t)
	plain := g.makeBucket(t)
	everything := Expectation{Versioning: true, ObjectLock: LockCompliance, LockDays: 30}
	audited(t, expecting(t, plain, g.addr, Expectation{}))
	audited(t, expecting(t, plain, g.addr, everything), Deviation{"versioning", "enabled", "none"},
		Deviation{"object_lock", "compliance", "ObjectLockConfigurationNotFoundError"}, Deviation{"lock_days", "at least 30", "0"})

	locked, ctx, c := plain+"locked", t.Context(), g.client()
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &locked, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	retain := func(mode types.ObjectLockRetentionMode, days int32) {
		t.Helper()
		if _, err := c.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: &locked, ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: mode, Days: &days}},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	s := expecting(t, locked, g.addr, everything)
	audited(t, s, Deviation{"object_lock", "compliance", "none"}, Deviation{"lock_days", "at least 30", "0"})
	retain(types.ObjectLockRetentionModeCompliance, 30)
	audited(t, s)
	audited(t, expecting(t, locked, g.addr, Expectation{ObjectLock: LockGovernance}))
	retain(types.ObjectLockRetentionModeGovernance, 7)
	audited(t, s, Deviation{"object_lock", "compliance", "governance"}, Deviation{"lock_days", "at least 30", "7"})

	if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &plain, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	versioned := expecting(t, plain, g.addr, Expectation{Versioning: true})
	audited(t, versioned)
	if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &plain, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended},
	}); err != nil {
		t.Fatal(err)
	}
	audited(t, versioned, Deviation{"versioning", "enabled", "suspended"})
}

func TestAuditBucketThatIsGoneOrOverwritesOrAway(t *testing.T) {
	g := startGateway(t)
	name := g.makeBucket(t)
	audited(t, expecting(t, "gone-"+name[:20], g.addr, Expectation{Versioning: true}), Deviation{"writable", "yes", "NoSuchBucket"})
	addr := g.inFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusOK)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	audited(t, expecting(t, name, addr, Expectation{}), Deviation{"if_none_match", "honored", "ignored"})
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	audited(t, expecting(t, name, g.addr, Expectation{}), Deviation{"writable", "yes", "SignatureDoesNotMatch"})

	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	_, err := Audit(t.Context(), expecting(t, name, away.Listener.Addr().String(), Expectation{}))
	wantErr(t, "audit of a service that is away", err, ErrUnavailable)
}
