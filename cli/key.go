package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/cli/verify"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// manifestKey is what recordings key prints; its JSON is a promise to scripts.
type manifestKey struct {
	Fingerprint string `json:"fingerprint"`
	PublicKey   []byte `json:"public_key"`
	PEM         string `json:"pem"`
}

func (a *app) printKey() *cobra.Command {
	c := &cobra.Command{
		Use: "key", Short: "Print the public key that manifests are signed with", Args: noArgs,
		Long: `Print the public key that the coordinator signs manifests with now, and its fingerprint. The output may be kept as a file
and given to recordings verify as --public-key, from then on or by somebody else.`,
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
			der, err := x509.MarshalPKIXPublicKey(key)
			if err != nil {
				return fmt.Errorf("write manifest key: %w", err)
			}
			k := manifestKey{verify.Fingerprint(key), key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
			return a.print(k, func(t *tables) { fmt.Fprintf(&t.out, "%s\n%s", k.Fingerprint, k.PEM) })
		}),
	}
	a.outputFlags(c)
	return c
}
