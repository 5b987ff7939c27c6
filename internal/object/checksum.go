package object

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// metadataSum is the name under which an object's metadata has its SHA-256 in hexadecimal: what S3 itself keeps of an object that
// was put in parts is none of the whole.
const metadataSum = "sha256"

func metadataOf(d Digest) map[string]string { return map[string]string{metadataSum: d.String()} }

// known is what a service says of an object's bytes.
type known struct {
	whole     Digest // computed by the service over the whole object
	composite string // computed by the service over the parts' sums
	told      Digest // by whoever put the object
}

// sums reads what an answer says.
func sums(value *string, kind types.ChecksumType, metadata map[string]string) known {
	var k known
	text := aws.ToString(value)
	if kind == types.ChecksumTypeComposite || strings.Contains(text, "-") {
		k.composite = text
	} else if sum, err := base64.StdEncoding.DecodeString(text); err == nil && len(sum) == len(Digest{}) {
		k.whole = Digest(sum)
	}
	for name, value := range metadata {
		if sum, err := hex.DecodeString(value); strings.EqualFold(name, metadataSum) && err == nil && len(sum) == len(Digest{}) {
			k.told = Digest(sum)
		}
	}
	return k
}

// best is the digest that reads are compared with.
func (k known) best() Digest {
	if !k.whole.IsZero() {
		return k.whole
	}
	return k.told
}

// damagedCodes are a service's words for bytes that are not those that their sums were sent for.
var damagedCodes = map[string]struct{}{ //nolint:gochecknoglobals // a table that is never written
	"BadDigest": {}, "XAmzContentSHA256Mismatch": {}, "XAmzContentChecksumMismatch": {},
}

// damaged has a request repeated whose bytes changed on their way: they were read and their sums made here.
var damaged = retry.RetryableErrorCode{Codes: damagedCodes} //nolint:gochecknoglobals // a table that is never written
