package object

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// follow gets what a link leads to.
func follow(t *testing.T, link string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// A link leads to one version of one object for a while, and to nothing else however it is changed.
func TestLinksLeadToOneVersionForAWhile(t *testing.T) {
	g := startGateway(t)
	name := g.versioned(t)
	open := func(presign string) Store {
		t.Helper()
		location, err := ParseLocation("s3://" + name + "@" + g.addr + "/some/prefix/?insecure=true&presign=" + presign)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), location, Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := open("60s")
	info, other := mustPut(t, s, "a/v.mp4", []byte("0123456789")), mustPut(t, s, "a/other.mp4", []byte("other"))
	put, err := g.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: aws.String("some/prefix/a/v.mp4"), Body: strings.NewReader("forged")})
	if err != nil {
		t.Fatal(err)
	}
	make := func(s Store) string {
		t.Helper()
		link, err := LinksOf(s).Link(t.Context(), "a/v.mp4", info.Version, LinkOptions{"video/mp4", `attachment; filename="v.mp4"`})
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	link := make(s)
	answer, body := follow(t, link)
	if answer.StatusCode != http.StatusOK || body != "0123456789" || answer.Header.Get("Content-Type") != "video/mp4" || answer.Header.Get("Content-Disposition") != `attachment; filename="v.mp4"` ||
		answer.Header.Get("Cache-Control") != "no-store, private" {
		t.Errorf("%d %q %v", answer.StatusCode, body, answer.Header)
	}
	if answer, body := follow(t, link, "Range", "bytes=2-4"); answer.StatusCode != http.StatusPartialContent || body != "234" {
		t.Errorf("range: %d %q", answer.StatusCode, body)
	}
	if origin, err := LinksOf(s).Origin(t.Context()); err != nil || origin != "http://"+g.addr {
		t.Errorf("%q, %v", origin, err)
	}
	alter := func(name, value string) string {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set(name, value)
		if value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for what, altered := range map[string]string{
		"another object": strings.Replace(link, "v.mp4?", "other.mp4?", 1), "another version": alter("versionId", aws.ToString(put.VersionId)), "no version": alter("versionId", ""),
		"another object's version": alter("versionId", other.Version), "a longer life": alter("X-Amz-Expires", "600"), "another type": alter("response-content-type", "text/html"),
		"no signature": alter("X-Amz-Signature", ""),
	} {
		if altered == link {
			t.Fatalf("%s is the same", what)
		}
		if answer, body := follow(t, altered); answer.StatusCode/100 != 4 || body == "forged" || body == "other" || body == "0123456789" {
			t.Errorf("%s: %d %q", what, answer.StatusCode, body)
		}
	}
	short := make(open("1s"))
	if answer, _ := follow(t, short); answer.StatusCode != http.StatusOK {
		t.Errorf("at once: %d", answer.StatusCode)
	}
	expired := false
	for began := time.Now(); !expired && time.Since(began) < 15*time.Second; {
		answer, _ := follow(t, short)
		if expired = answer.StatusCode == http.StatusForbidden; !expired {
			<-time.After(100 * time.Millisecond)
		}
	}
	if !expired {
		t.Error("a link of one second is good for 15")
	}
}

func TestLinksAreAskedFor(t *testing.T) {
	for text, want := range map[string]time.Duration{"s3://bucket/x": 0, "s3://bucket/x?presign=30s": 30 * time.Second, "s3://bucket/x?presign=1m": time.Minute} {
		if l, err := ParseLocation(text); err != nil || l.Presign != want {
			t.Errorf("%s: %v, %v", text, l.Presign, err)
		} else if again, err := ParseLocation(l.String()); err != nil || again.Presign != want {
			t.Errorf("%s became %s: %v", text, l, err)
		}
	}
	for _, text := range []string{"s3://bucket/x?presign=61s", "s3://bucket/x?presign=0s", "s3://bucket/x?presign=1500ms", "s3://bucket/x?presign=yes", "s3://bucket/x?presign=", "file:///x?presign=1s"} {
		if _, err := ParseLocation(text); !errors.Is(err, ErrLocation) {
			t.Errorf("%s: %v", text, err)
		}
	}
	location, err := ParseLocation("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), location, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if LinksOf(s) != nil {
		t.Error("a directory has links")
	}
}
