package enroll

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// AWS signs as whoever the environment, the shared files or the instance's role say, in the way of every AWS program.
type AWS struct {
	// Profile is that of the shared files, as appstream_machine_role on AppStream's instances; empty for the usual one.
	Profile string
}

// callerBody is the request that is signed.
const callerBody = "Action=GetCallerIdentity&Version=2011-06-15"

// Sign signs; see Signer.
func (a AWS) Sign(ctx context.Context, nonce string, key ed25519.PublicKey) (*recfleetv1.AwsCallerIdentity, error) {
	options := []func(*config.LoadOptions) error{config.WithEC2IMDSRegion()}
	if a.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(a.Profile))
	}
	found, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("find identity of AWS: %w", err)
	}
	if found.Region == "" {
		return nil, errors.New("find identity of AWS: no region is set")
	}
	who, err := found.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("find identity of AWS: %w", err)
	}
	headers, err := sign(ctx, who, found.Region, nonce, key)
	if err != nil {
		return nil, err
	}
	return &recfleetv1.AwsCallerIdentity{Region: found.Region, Headers: headers}, nil
}

// sign returns the headers of the request to STS in a region.
func sign(ctx context.Context, who aws.Credentials, region, nonce string, key ed25519.PublicKey) (map[string]string, error) {
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain += ".cn"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://sts."+region+"."+domain+"/", strings.NewReader(callerBody))
	if err != nil {
		return nil, fmt.Errorf("sign for AWS: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	request.Header.Set("X-Recfleet-Nonce", nonce)
	request.Header.Set("X-Recfleet-Key", hex.EncodeToString(key))
	sum := sha256.Sum256([]byte(callerBody))
	if err := v4.NewSigner().SignHTTP(ctx, who, request, hex.EncodeToString(sum[:]), "sts", region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign for AWS: %w", err)
	}
	headers := map[string]string{}
	for name := range request.Header {
		headers[name] = request.Header.Get(name)
	}
	return headers, nil
}
