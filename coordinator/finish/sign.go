package finish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"

	"github.com/recfleet/recfleet/internal/object"
)

// sign puts the signature of a manifest beside it. One that was made with another key stays: the manifest is the same.
func (f *Finish) sign(ctx context.Context, key string, content []byte) error {
	signature, err := f.keys.Sign(ctx, f.archive, content)
	if err != nil {
		return err
	}
	_, err = f.put(ctx, key, "application/octet-stream", signature)
	if !errors.Is(err, object.ErrExists) {
		return err
	}
	body, info, getErr := f.archive.Get(ctx, key, 0, -1)
	if getErr != nil {
		return getErr
	}
	there, getErr := io.ReadAll(io.LimitReader(body, ed25519.SignatureSize+1))
	if getErr = errors.Join(getErr, body.Close()); getErr != nil {
		return getErr
	}
	if len(there) != ed25519.SignatureSize || info.Bytes != ed25519.SignatureSize {
		return err
	}
	known, signedErr := f.keys.Signed(ctx, f.archive, content, there)
	if signedErr != nil {
		return signedErr
	}
	if known {
		f.logger.Info("manifest was signed with another key of the line", "object_key", key)
		return nil
	}
	f.logger.Error("manifest is signed with another key", "object_key", key)
	return nil
}
