package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/evidence"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// manifestKey is what recordings key prints; its JSON is a promise to scripts.
type manifestKey struct {
	Fingerprint string `json:"fingerprint"`
	PublicKey   []byte `json:"public_key"`
	PEM         string `json:"pem"`
	// Since and Until say when it was in use; nil where the key was the first, and where it is the present one.
	Since *time.Time `json:"since_time,omitempty"`
	Until *time.Time `json:"until_time,omitempty"`
	// Former are the keys before, the last one first. Each has signed the one after it.
	Former []manifestKey `json:"former,omitempty"`
}

// published returns the present key with those before.
func published(keys verify.Keys) (manifestKey, error) {
	var all []manifestKey
	for _, key := range keys.Trusted() {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return manifestKey{}, fmt.Errorf("write manifest key: %w", err)
		}
		k := manifestKey{Fingerprint: verify.Fingerprint(key), PublicKey: key, PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
		for _, s := range keys.Line {
			if s.Key == evidence.PublicKeyOf(key) {
				k.Since = &s.Time
			}
			if s.Previous == evidence.PublicKeyOf(key) {
				k.Until = &s.Time
			}
		}
		all = append(all, k)
	}
	all[0].Former = all[1:]
	return all[0], nil
}

func (a *app) printKey() *cobra.Command {
	c := &cobra.Command{
		Use: "key", Short: "Print the public key that manifests are signed with", Args: noArgs,
		Long: `Print the public key that the coordinator signs manifests with now, and its fingerprint. The output may be kept as a file
and given to recordings verify as --public-key, from then on or by somebody else. Where the key was changed those before it
come after it, with when each was changed.`,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewRecordingServiceClient(conn).GetManifestKey(ctx, &recfleetv1.GetManifestKeyRequest{})
			if err != nil {
				return failed(err, "get manifest key")
			}
			key := ed25519.PublicKey(answer.GetPublicKey())
			if len(key) != ed25519.PublicKeySize {
				return errors.New("get manifest key: what the coordinator answered is none")
			}
			keys, err := keysOf(answer, nil)
			if err != nil {
				return err
			}
			k, err := published(keys)
			if err != nil {
				return err
			}
			return a.print(k, func(t *tables) {
				fmt.Fprintf(&t.out, "%s\n%s", k.Fingerprint, k.PEM)
				for _, former := range k.Former {
					fmt.Fprintf(&t.out, "%s until %s\n%s", former.Fingerprint, former.Until.UTC().Format(time.RFC3339), former.PEM)
				}
			})
		}),
	}
	a.outputFlags(c)
	return c
}
