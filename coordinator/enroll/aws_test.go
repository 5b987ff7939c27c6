package enroll

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// standIn is STS as it answers, behind the code that asks it.
type standIn struct {
	asked  []*http.Request
	status int
	header http.Header
	body   string
}

func (s *standIn) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != callerBody {
		return nil, fmt.Errorf("asked %q, %w", body, err)
	}
	s.asked = append(s.asked, r)
	if s.status == 0 {
		return nil, errors.New("no way there")
	}
	h := s.header
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: s.status, Header: h, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

const goodARN = "arn:aws:sts::123456789012:assumed-role/PhotonInstance/i-1"

func document(arn, account string) string {
	return `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>` + arn +
		`</Arn><UserId>AROA:i-1</UserId><Account>` + account + `</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
}

func TestSTSIsAskedAndNobodyElse(t *testing.T) {
	sts := &standIn{status: http.StatusOK, body: document(goodARN, "123456789012")}
	headers := map[string]string{"authorization": "AWS4-HMAC-SHA256 x", "X-Amz-Date": "20260101T000000Z", "Host": "evil.example", "X-Forwarded-Host": "evil.example", "Cookie": "c"}
	who, err := NewSTS(sts).Identify(t.Context(), SignedRequest{Region: "eu-central-1", Headers: headers})
	if err != nil || who.ARN != goodARN || who.Account != "123456789012" {
		t.Fatalf("%+v, %v", who, err)
	}
	r := sts.asked[0]
	if r.URL.String() != "https://sts.eu-central-1.amazonaws.com/" || r.Host != "sts.eu-central-1.amazonaws.com" || r.Method != http.MethodPost {
		t.Errorf("asked %s %s of host %s", r.Method, r.URL, r.Host)
	}
	for name := range r.Header {
		if name != "Authorization" && name != "X-Amz-Date" {
			t.Errorf("header %s went to STS", name)
		}
	}
	sts.asked = nil
	for _, region := range []string{"", "eu-central-9", "evil.example/", "eu-central-1.evil.example", "127.0.0.1", "us-east-1#", "169.254.169.254"} {
		if _, err := NewSTS(sts).Identify(t.Context(), SignedRequest{Region: region, Headers: headers}); !errors.Is(err, ErrRefused) {
			t.Errorf("region %q: %v", region, err)
		}
	}
	if len(sts.asked) > 0 {
		t.Errorf("asked %s", sts.asked[0].URL)
	}
}

func TestAnswersOfSTSAreReadStrictly(t *testing.T) {
	good := document(goodARN, "123456789012")
	for name, test := range map[string]struct {
		status  int
		body    string
		header  http.Header
		passing bool
	}{
		"a refusal":                {status: http.StatusForbidden, body: good},
		"a redirect":               {status: http.StatusFound, body: good, header: http.Header{"Location": {"https://sts.us-east-1.amazonaws.com/"}}},
		"a failure":                {status: http.StatusServiceUnavailable, body: good, passing: true},
		"too much to do":           {status: http.StatusTooManyRequests, body: good, passing: true},
		"nothing":                  {status: 0, passing: true},
		"an empty answer":          {status: http.StatusOK},
		"json":                     {status: http.StatusOK, body: `{"Arn":"` + goodARN + `"}`},
		"another document":         {status: http.StatusOK, body: strings.ReplaceAll(good, "GetCallerIdentityResponse", "Other")},
		"another namespace":        {status: http.StatusOK, body: strings.ReplaceAll(good, "sts.amazonaws.com", "evil.example")},
		"two identities":           {status: http.StatusOK, body: strings.Replace(good, "<UserId>", "<Arn>"+goodARN+"</Arn><UserId>", 1)},
		"two results":              {status: http.StatusOK, body: strings.Replace(good, "<ResponseMetadata>", "<GetCallerIdentityResult/><ResponseMetadata>", 1)},
		"an identity in itself":    {status: http.StatusOK, body: document("arn:aws:sts::999999999999:assumed-role/x/y", "123456789012")},
		"something behind it":      {status: http.StatusOK, body: good + good},
		"a document cut short":     {status: http.StatusOK, body: good[:len(good)-10]},
		"a document without end":   {status: http.StatusOK, body: good + strings.Repeat(" ", maxAnswer)},
		"an arn that is no caller": {status: http.StatusOK, body: document("arn:aws:s3:::bucket", "123456789012")},
	} {
		t.Run(name, func(t *testing.T) {
			sts := &standIn{status: test.status, body: test.body, header: test.header}
			who, err := NewSTS(sts).Identify(t.Context(), SignedRequest{Region: "us-east-1"})
			if err == nil || errors.Is(err, ErrRefused) == test.passing {
				t.Errorf("%+v, %v", who, err)
			}
			if len(sts.asked) != 1 {
				t.Errorf("asked %d times", len(sts.asked))
			}
		})
	}
}

func TestASignedRequestIsBoundToNonceAndKey(t *testing.T) {
	key := ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))
	good := func() SignedRequest {
		return SignedRequest{Region: "us-east-1", Headers: map[string]string{
			"X-Recfleet-Nonce": "n", "X-Recfleet-Key": hex.EncodeToString(key),
			"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-recfleet-key;x-recfleet-nonce, Signature=00",
		}}
	}
	j := Joining{Nonce: "n", Key: key}
	if !bound(good(), j) {
		t.Fatal("a good request is not taken")
	}
	for name, spoil := range map[string]func(*SignedRequest){
		"another nonce":       func(s *SignedRequest) { s.Headers["X-Recfleet-Nonce"] = "m" },
		"another key":         func(s *SignedRequest) { s.Headers["X-Recfleet-Key"] = "00" },
		"a header twice":      func(s *SignedRequest) { s.Headers["x-recfleet-nonce"] = "n" },
		"a nonce not signed":  func(s *SignedRequest) { s.replace(";x-recfleet-nonce", "") },
		"a key not signed":    func(s *SignedRequest) { s.replace(";x-recfleet-key", "") },
		"a host not signed":   func(s *SignedRequest) { s.replace("host;", "") },
		"another region":      func(s *SignedRequest) { s.Region = "us-east-2" },
		"another service":     func(s *SignedRequest) { s.replace("/sts/", "/s3/") },
		"no signature at all": func(s *SignedRequest) { delete(s.Headers, "Authorization") },
		"a list twice":        func(s *SignedRequest) { s.replace(", Signature", ", SignedHeaders=host, Signature") },
	} {
		s := good()
		spoil(&s)
		if bound(s, j) {
			t.Errorf("%s is taken", name)
		}
	}
}

func (s *SignedRequest) replace(old, by string) {
	s.Headers["Authorization"] = strings.Replace(s.Headers["Authorization"], old, by, 1)
}

func TestNonces(t *testing.T) {
	ours, theirs, now := nonces{[]byte("a")}, nonces{[]byte("b")}, time.Now()
	n := ours.make(now)
	for name, test := range map[string]struct {
		text string
		at   time.Time
		want bool
	}{
		"fresh":            {n, now, true},
		"nearly too old":   {n, now.Add(nonceLife - 2*time.Second), true},
		"too old":          {n, now.Add(nonceLife + time.Second), false},
		"from the future":  {n, now.Add(-nonceSkew - 2*time.Second), false},
		"of somebody else": {theirs.make(now), now, false},
		"changed":          {n[:30] + string(n[30]^1) + n[31:], now, false},
		"longer":           {n + "AA", now, false},
		"none":             {"", now, false},
	} {
		if _, ok := ours.check(test.text, test.at); ok != test.want {
			t.Errorf("%s: %t", name, ok)
		}
	}
	if ours.make(now) == n {
		t.Error("two nonces are the same")
	}
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, value string
		want           bool
	}{
		{"*", "", true}, {"*", "x", true}, {"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"a*c", "abc", true},
		{"a*c", "ab", false}, {"a*b*c", "a-b-c", true}, {"a*b*c", "ac", false}, {"a*a", "a", false}, {"", "", true}, {"", "x", false}, {"a**b", "ab", true},
	} {
		if got := matches(test.pattern, test.value); got != test.want {
			t.Errorf("%q on %q: %t", test.pattern, test.value, got)
		}
	}
}
