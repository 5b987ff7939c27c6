package object

import (
	"errors"
	"strings"
	"testing"
)

func TestParseLocation(t *testing.T) {
	const plain = "{start_date}/{username}/{session_id}/"
	for _, c := range []struct {
		in   string
		want Location // without the template
		tmpl string
		text string // canonical, when it is not in
	}{
		{"file:///var/lib/recfleet/archive/" + plain, Location{Scheme: "file", Dir: "/var/lib/recfleet/archive"}, plain, ""},
		{"file:///data", Location{Scheme: "file", Dir: "/data"}, plain, "file:///data/" + plain},
		{"FILE://localhost/my%20data/", Location{Scheme: "file", Dir: "/my data"}, plain, "file:///my%20data/" + plain},
		{"file:///d/x{session_id}", Location{Scheme: "file", Dir: "/d"}, "x{session_id}/", "file:///d/x{session_id}/"},
		{"s3://bucket/" + plain, Location{Scheme: "s3", Bucket: "bucket"}, plain, ""},
		{"s3://bucket", Location{Scheme: "s3", Bucket: "bucket"}, plain, "s3://bucket/" + plain},
		{
			"s3://bucket@s3.eu-central-1.amazonaws.com/rec/ordings/{stack}/{session_id}/v/",
			Location{Scheme: "s3", Bucket: "bucket", Prefix: "rec/ordings/", Endpoint: "https://s3.eu-central-1.amazonaws.com", PathStyle: true},
			"{stack}/{session_id}/v/", "",
		},
		{
			"s3://under_score@[::1]:9000/p/{session_id}/?insecure=true&path_style=false&region=us-gov-west-1",
			Location{Scheme: "s3", Bucket: "under_score", Prefix: "p/", Endpoint: "http://[::1]:9000", Region: "us-gov-west-1"},
			"{session_id}/", "",
		},
		{
			"s3://bucket/?path_style=true&region=eu-west-1",
			Location{Scheme: "s3", Bucket: "bucket", Region: "eu-west-1", PathStyle: true}, plain,
			"s3://bucket/" + plain + "?path_style=true&region=eu-west-1",
		},
		{
			"s3://bucket/" + plain + "?lock_days=365&object_lock=compliance&versioning=true",
			Location{Scheme: "s3", Bucket: "bucket", Expect: Expectation{Versioning: true, ObjectLock: LockCompliance, LockDays: 365}}, plain, "",
		},
	} {
		got, err := ParseLocation(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if c.text == "" {
			c.text = c.in
		}
		if got.String() != c.text {
			t.Errorf("%s: text is %s, want %s", c.in, got, c.text)
		}
		if got.Template.String() != c.tmpl {
			t.Errorf("%s: template %s, want %s", c.in, got.Template, c.tmpl)
		}
		again, err := ParseLocation(got.String())
		if err != nil || again.String() != got.String() {
			t.Errorf("%s: read again: %s, %v", c.in, again, err)
		}
		got.Template = Template{}
		if got.Scheme != c.want.Scheme || got.Dir != c.want.Dir || got.Bucket != c.want.Bucket || got.Prefix != c.want.Prefix ||
			got.Endpoint != c.want.Endpoint || got.Region != c.want.Region || got.Expect != c.want.Expect || got.PathStyle != c.want.PathStyle {
			t.Errorf("%s: got %+v, want %+v", c.in, got, c.want)
		}
	}
}

// badLocations with a piece of what the error must say.
var badLocations = map[string]string{
	"":                                               "empty",
	"/var/lib":                                       "no scheme",
	"http://host/x":                                  "unknown scheme",
	"file://data/x":                                  "relative path",
	"file://./x":                                     "relative path",
	"file://":                                        "no directory",
	"file:///":                                       "no directory",
	"file:///{session_id}/":                          "no directory",
	"file:///a/../b":                                 ".. segment",
	"file:///a/%2e%2e/b":                             ".. segment",
	"file:///a%2fb":                                  "escaped slash",
	"file:///a%zz":                                   "escape",
	"file:///a%00b":                                  "control character",
	"file:///a\nb":                                   "control character",
	"file:///a//b":                                   "empty segment",
	"file:///a?region=x":                             "no options",
	"file:///a#b":                                    "fragment",
	"file://user@localhost/a":                        "user info",
	"file:///a/{user}/{session_id}/":                 "unknown variable {\"user\"}",
	"file:///a/{}/{session_id}/":                     "unknown variable",
	"file:///a/{session_id":                          "unbalanced brace",
	"file:///a/{session_id}}/":                       "unbalanced brace",
	"file:///a/{{session_id}}/":                      "unbalanced brace",
	"file:///a}/{session_id}/":                       "unbalanced brace",
	"file:///a/{session/_id}/":                       "unknown variable",
	"file:///a/{username}/":                          "no {session_id}",
	"file:///a/{session_id}/../x/":                   "starts with a dot",
	"file:///a/{session_id}/a b/":                    "character",
	"file:///a/.x{session_id}/":                      "starts with a dot",
	"file:///a/{session_id}/.x/":                     "starts with a dot",
	"file:///a/{session_id}.mp4":                     "names a file",
	"file:///a/{session_id}" + longFolder():          "at most",
	"s3://":                                          "empty bucket",
	"s3:///prefix":                                   "empty bucket",
	"s3://@host/prefix":                              "empty bucket",
	"s3://{username}/x":                              "bucket name",
	"s3://UPPER/x":                                   "bucket name",
	"s3://ab/x":                                      "bucket name",
	"s3://a..b/x":                                    "bucket name",
	"s3://bucket@/x":                                 "endpoint",
	"s3://bucket@host:/x":                            "endpoint",
	"s3://bucket@host:99999/x":                       "endpoint",
	"s3://bucket@ho st/x":                            "endpoint",
	"s3://bucket@a@b/x":                              "endpoint",
	"s3://bucket@http://host/x":                      "empty segment",
	"s3://key:hunter2@host/x":                        "credentials",
	"s3://key:hunter2/x":                             "credentials",
	"s3://bucket@key:hunter2@host/x":                 "endpoint",
	"s3://bucket/x?secret=hunter2":                   "unknown option",
	"s3://bucket/x?region=A B":                       "region",
	"s3://bucket/x?region=":                          "region",
	"s3://bucket/x?region=a&region=b":                "twice",
	"s3://bucket/x?path_style=maybe":                 "path_style",
	"s3://bucket/x?versioning=perhaps":               "versioning",
	"s3://bucket/x?object_lock=soft":                 "object_lock",
	"s3://bucket/x?lock_days=0":                      "lock_days",
	"s3://bucket/x?insecure=true":                    "needs an endpoint",
	"s3://bucket/x?a;b":                              "options",
	"s3://bucket/x?sse=aes":                          "sse",
	"s3://bucket/x?kms_key=a":                        "needs sse=kms",
	"s3://bucket/x?sse=s3&kms_key=a":                 "needs sse=kms",
	"s3://bucket/x?sse=kms&kms_key=a%20b":            "kms_key",
	"s3://bucket/x?sse=kms&kms_key=":                 "kms_key",
	"s3://bucket/x?storage_class=DEEP_ARCHIVE":       "cannot be read at once",
	"s3://bucket/x?storage_class=cheap":              "storage_class is not",
	"s3://bucket/x?retain=ever":                      "retain is not",
	"s3://bucket/x?retain=governance":                "needs retain_days",
	"s3://bucket/x?retain_days=7":                    "needs retain=",
	"s3://bucket/x?retain=governance&retain_days=-1": "retain_days",
	"s3://bucket/x?tag.=a":                           "tag's name",
	"s3://bucket/x?tag.aws:x=a":                      "AWS's own",
	"s3://bucket/x?tag.a%20b=a":                      "its name may have",
	"s3://bucket/x?tag.a=ä":                          "its value may have",
	"s3://bucket/x?tag.a={stack}":                    "not a folder of its own",
	"s3://bucket/x/{stack}-{fleet}/{session_id}/?tag.a={fleet}":                                   "not a folder of its own",
	"s3://bucket/x?tag.a={session":                                                                "unbalanced brace",
	"s3://bucket/x?tag.a={who}":                                                                   "unknown variable",
	"s3://bucket/x?tag.a=" + strings.Repeat("v", 257):                                             "at most 256",
	"s3://bucket/x?tag.a=1&tag.b=&tag.c=&tag.d=&tag.e=&tag.f=&tag.g=&tag.h=&tag.i=&tag.j=&tag.k=": "11 tags",
	"s3://bucket/x?tag.a=1&tag.a=2":                                                               "twice",
	"file:///a?sse=s3":                                                                            "no options",
	"s3://bucket/a b/{session_id}/":                                                               "prefix",
	"s3://bucket/.hidden/":                                                                        "prefix",
	"s3://bucket/" + strings.Repeat("p/", 101):                                                    "prefix of",
}

func TestStorageOptionsAreKept(t *testing.T) {
	const text = "s3://bucket/{stack}/u-{username}/{session_id}/?kms_key=arn%3Aaws%3Akms%3Aeu-central-1%3A123%3Akey%2Fab-c&retain=governance" +
		"&retain_days=30&sse=kms&storage_class=STANDARD_IA&tag.team=a%2Fb&tag.user=%7Bstack%7D.%7Busername%7D"
	loc, err := ParseLocation(text)
	if err != nil {
		t.Fatal(err)
	}
	s := loc.Storage
	if s.Encryption != EncryptionKMS || s.KMSKey != "arn:aws:kms:eu-central-1:123:key/ab-c" || s.Class != "STANDARD_IA" || s.Retain != LockGovernance ||
		s.RetainDays != 30 || len(s.Tags) != 2 || s.Tags[0].Value() != "a/b" || s.Tags[1].Value() != "{stack}.{username}" {
		t.Errorf("%+v", s)
	}
	if loc.String() != text {
		t.Errorf("text is %s", loc)
	}
	// Whatever a user is called, the tag is what the key has.
	folder, err := loc.Template.Expand(map[string]string{"session_id": "s", "username": "../Ann Ä", "stack": ""})
	if err != nil {
		t.Fatal(err)
	}
	values := loc.Template.values(folder + "video.mp4")
	if values["session_id"] != "s" || values["stack"] != noValue || values["username"] != safeValue("../Ann Ä") {
		t.Errorf("%v", values)
	}
	if got := loc.Template.values("other/file"); got["username"] != "" || got["session_id"] != "" {
		t.Errorf("%v", got)
	}
}

func longFolder() string { return strings.Repeat("/{username}", 10) }

func TestParseLocationRefuses(t *testing.T) {
	for in, want := range badLocations {
		_, err := ParseLocation(in)
		if !errors.Is(err, ErrLocation) {
			t.Errorf("%q: got %v, want ErrLocation", in, err)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, want) || strings.ContainsAny(text, "\n\r\x00") || len(text) > 500 {
			t.Errorf("%q: error %q, want one line with %q", in, text, want)
		}
		if strings.Contains(text, "hunter2") {
			t.Errorf("%q: the error repeats a secret: %q", in, text)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	for in := range badLocations {
		f.Add(in)
	}
	f.Add("s3://bucket@[::1]:9000/p/{session_id}/?insecure=true&path_style=false&region=us-gov-west-1")
	f.Add("s3://bucket/{username}/{session_id}/?sse=kms&kms_key=alias/x&tag.a={username}&retain=governance&retain_days=3")
	f.Add("file:///my%20data/{stack}-{fleet}/{session_id}/video/")
	f.Fuzz(func(t *testing.T, in string) {
		loc, err := ParseLocation(in)
		if err != nil {
			if !errors.Is(err, ErrLocation) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("error %q", err)
			}
			return
		}
		again, err := ParseLocation(loc.String())
		if err != nil || again.String() != loc.String() {
			t.Fatalf("%q became %q, then %q, %v", in, loc, again, err)
		}
		prefix, err := loc.Template.Expand(map[string]string{"session_id": in})
		if err != nil {
			t.Fatal(err)
		}
		if err := ValidKey(prefix + strings.Repeat("n", 199)); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
	})
}
