package object

import "testing"

// A bucket is made once, and then is as the location expects it.
func TestMakeBucket(t *testing.T) {
	g := startGateway(t)
	loc, err := ParseLocation("s3://made@" + g.addr + "/x/?insecure=true&versioning=true")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := MakeBucket(t.Context(), loc, Config{}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), loc, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if found, err := Audit(t.Context(), s); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if info := mustPut(t, s, "a", []byte("x")); info.Version == "" {
		t.Error("no version")
	}
	loc.Endpoint = "http://" + freeAddr(t)
	wantErr(t, "make where nobody listens", MakeBucket(t.Context(), loc, Config{Attempts: 1}), ErrUnavailable)
	wantErr(t, "make in a directory", MakeBucket(t.Context(), Location{Scheme: SchemeFile, Dir: "/x"}, Config{}), ErrLocation)
}
