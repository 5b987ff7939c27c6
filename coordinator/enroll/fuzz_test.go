package enroll

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// STS's answer names one identity of the account that it says, or is refused.
func FuzzParseIdentity(f *testing.F) {
	const open, end = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`, `</GetCallerIdentityResult></GetCallerIdentityResponse>`
	const one = `<Arn>arn:aws:sts::123456789012:assumed-role/R/i-1</Arn><Account>123456789012</Account>`
	for _, seed := range []string{open + one + end, open + one + one + end, open + one + end + "<x/>", open + one, open + `<Arn>arn:aws:sts::1:x</Arn><Account>2</Account>` + end,
		`<!DOCTYPE x [<!ENTITY a "b">]>` + open + `<Arn>&a;</Arn>` + end, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		who, err := parseIdentity(body)
		if err != nil {
			return
		}
		if !NamesAccount(who.ARN, who.Account) || bytes.Count(body, []byte("GetCallerIdentityResponse")) < 2 || len(body) > maxAnswer {
			t.Errorf("%s is %+v", body, who)
		}
	})
}

// A signed request counts only for the nonce and key that it was signed for, and only where the signature covers both.
func FuzzBound(f *testing.F) {
	const good = "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date;x-recfleet-key;x-recfleet-nonce, Signature=0"
	f.Add(good, "n", "eu-west-1")
	f.Add(strings.ReplaceAll(good, ";x-recfleet-nonce", ""), "n", "eu-west-1")
	f.Add(good+", SignedHeaders=host", "n", "eu-west-1")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, authorization, nonce, region string) {
		j := Joining{Nonce: "n", Key: []byte{1}}
		signed := SignedRequest{Region: region, Headers: map[string]string{"authorization": authorization, "X-Recfleet-Nonce": nonce, "x-recfleet-key": hex.EncodeToString(j.Key)}}
		if !bound(signed, j) {
			return
		}
		if nonce != "n" || !strings.Contains(authorization, "/"+region+"/sts/aws4_request") || strings.Count(authorization, "SignedHeaders=") != 1 {
			t.Errorf("%q in %q was taken", authorization, region)
		}
		for _, name := range needSigned() {
			if !strings.Contains(authorization, name) {
				t.Errorf("%q does not sign %s", authorization, name)
			}
		}
		signed.Headers["X-RECFLEET-NONCE"] = "n"
		if bound(signed, j) {
			t.Error("two nonces were taken")
		}
	})
}

// A nonce is one that was made here, as it was made.
func FuzzNonce(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	n := nonces{key: []byte("key")}
	// The same in every process that fuzzes.
	first := append(binary.BigEndian.AppendUint64(nil, uint64(now.Unix())), make([]byte, nonceRandom)...)
	made := base64.RawURLEncoding.EncodeToString(append(first, n.sum(first)...))
	if _, ok := n.check(made, now); !ok {
		f.Fatal("what was made is not taken")
	}
	for _, seed := range []string{made, made[:20], made + "A", strings.Repeat("A", len(made)), made[:len(made)-1] + "_", "", " " + made, made + "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := n.check(text, now); ok && text != made {
			t.Errorf("%q was taken", text)
		}
	})
}
