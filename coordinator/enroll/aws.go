package enroll

import (
	"context"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// SignedRequest is a signed request to STS's GetCallerIdentity that its signer has not sent.
type SignedRequest struct {
	Region  string
	Headers map[string]string
}

// AWSIdentity is what STS says of who has signed a request.
type AWSIdentity struct{ Account, ARN string }

// Headers by which a signed request is bound to what it was signed for.
const (
	headerNonce = "X-Recfleet-Nonce"
	headerKey   = "X-Recfleet-Key"
)

const (
	// callerBody is all that is ever asked of STS.
	callerBody = "Action=GetCallerIdentity&Version=2011-06-15"
	// maxAnswer is many times as long as any answer.
	maxAnswer   = 16 << 10
	stsTimeout  = 10 * time.Second
	stsAtOnce   = 8
	signingName = "AWS4-HMAC-SHA256"
)

// passedOn are the headers of a signed request that go to STS; none but these.
func passedOn() []string {
	return []string{"Authorization", "Content-Type", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token", headerNonce, headerKey}
}

// needSigned are the headers that the signature must cover.
func needSigned() []string {
	return []string{"host", "x-amz-date", strings.ToLower(headerNonce), strings.ToLower(headerKey)}
}

// stsHost returns the host of STS in a region; false where the region is none that is known. No other host is ever asked.
func stsHost(region string) (string, bool) {
	const commercial = "us-east-1 us-east-2 us-west-1 us-west-2 af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 " +
		"ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 " +
		"ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 " +
		"il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-gov-east-1 us-gov-west-1"
	const china = "cn-north-1 cn-northwest-1"
	for list, domain := range map[string]string{commercial: "amazonaws.com", china: "amazonaws.com.cn"} {
		for known := range strings.FieldsSeq(list) {
			if known == region {
				return "sts." + region + "." + domain, true
			}
		}
	}
	return "", false
}

// STS asks AWS who has signed a request, by sending it. It follows no redirect, sends nothing but GetCallerIdentity, and to no
// host but STS's own.
type STS struct {
	client http.Client
	slots  chan struct{}
}

// NewSTS returns an STS that uses a transport, which must check the certificates of servers.
func NewSTS(transport http.RoundTripper) *STS {
	return &STS{
		client: http.Client{
			Transport: transport, Timeout: stsTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		slots: make(chan struct{}, stsAtOnce),
	}
}

// Identify returns who has signed. ErrRefused where AWS does not say; any other error is a passing one.
func (s *STS) Identify(ctx context.Context, signed SignedRequest) (AWSIdentity, error) {
	host, ok := stsHost(signed.Region)
	if !ok {
		return AWSIdentity{}, ErrRefused
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return AWSIdentity{}, ctx.Err()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/", strings.NewReader(callerBody))
	if err != nil {
		return AWSIdentity{}, fmt.Errorf("ask STS: %w", err)
	}
	for _, name := range passedOn() {
		if v, ok := header(signed.Headers, name); ok {
			request.Header.Set(name, v)
		}
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return AWSIdentity{}, fmt.Errorf("ask STS: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return AWSIdentity{}, fmt.Errorf("ask STS: %w", err)
	}
	switch {
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return AWSIdentity{}, fmt.Errorf("ask STS: it answered %d", answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return AWSIdentity{}, ErrRefused
	}
	who, err := parseIdentity(body)
	if err != nil {
		return AWSIdentity{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return who, nil
}

// parseIdentity reads STS's answer: its own document, whole, with each thing once.
func parseIdentity(body []byte) (AWSIdentity, error) {
	if len(body) > maxAnswer {
		return AWSIdentity{}, errors.New("STS's answer is too long")
	}
	var answer struct {
		XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
		Results []struct {
			ARNs     []string `xml:"https://sts.amazonaws.com/doc/2011-06-15/ Arn"`
			Accounts []string `xml:"https://sts.amazonaws.com/doc/2011-06-15/ Account"`
		} `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResult"`
	}
	d := xml.NewDecoder(strings.NewReader(string(body)))
	if err := d.Decode(&answer); err != nil {
		return AWSIdentity{}, errors.New("STS's answer is not its document")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) && strings.TrimSpace(string(body[d.InputOffset():])) != "" {
		return AWSIdentity{}, errors.New("STS's answer goes on behind its document")
	}
	if len(answer.Results) != 1 || len(answer.Results[0].ARNs) != 1 || len(answer.Results[0].Accounts) != 1 {
		return AWSIdentity{}, errors.New("STS's answer does not name one identity")
	}
	who := AWSIdentity{Account: answer.Results[0].Accounts[0], ARN: answer.Results[0].ARNs[0]}
	if !NamesAccount(who.ARN, who.Account) {
		return AWSIdentity{}, errors.New("STS's answer contradicts itself")
	}
	return who, nil
}

// NamesAccount reports whether an ARN, or the pattern of one, is of an account.
func NamesAccount(arn, account string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && (parts[2] == "sts" || parts[2] == "iam") && parts[4] == account && account != ""
}

// vouch returns who AWS says that an agent is, or ErrRefused where the enrollment does not admit that.
func (e *Enroll) vouch(ctx context.Context, enrollment catalog.Enrollment, j Joining) (string, error) {
	if j.AWS == nil || !bound(*j.AWS, j) || e.cfg.AWS == nil {
		return "", ErrRefused
	}
	who, err := e.cfg.AWS.Identify(ctx, *j.AWS)
	if err != nil {
		return "", err
	}
	if who.Account != enrollment.AWSAccount || !matches(enrollment.AWSARN, who.ARN) {
		e.cfg.Logger.Warn("identity was not admitted", "enrollment_id", enrollment.ID, "account", who.Account, "arn", who.ARN)
		return "", ErrRefused
	}
	return who.ARN, nil
}

// bound reports whether a request was signed for this nonce and key, and for STS in its region.
func bound(signed SignedRequest, j Joining) bool {
	nonce, _ := header(signed.Headers, headerNonce)
	key, _ := header(signed.Headers, headerKey)
	authorization, ok := header(signed.Headers, "Authorization")
	if !ok || nonce != j.Nonce || key != hex.EncodeToString(j.Key) {
		return false
	}
	rest, ok := strings.CutPrefix(authorization, signingName+" ")
	if !ok {
		return false
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(field), "=")
		if _, twice := fields[name]; !found || twice {
			return false
		}
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[2] != signed.Region || scope[3] != "sts" || scope[4] != "aws4_request" {
		return false
	}
	covered := map[string]bool{}
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		covered[name] = true
	}
	for _, name := range needSigned() {
		if !covered[name] {
			return false
		}
	}
	return true
}

// header finds a header in whatever case; false where there is none, or more than one.
func header(headers map[string]string, name string) (value string, ok bool) {
	for n, v := range headers {
		if strings.EqualFold(n, name) {
			if ok {
				return "", false
			}
			value, ok = v, true
		}
	}
	return value, ok
}
