package identity

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// issued writes the certificate of another authority for some names, and that authority's own.
func issued(t *testing.T, names ...string) CertificatePaths {
	t.Helper()
	dir := t.TempDir()
	a, err := OpenAuthority(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	p := CertificatePaths{Certificate: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"), CA: filepath.Join(dir, "other", "ca.pem")}
	if err := a.WriteServerCertificate(names, p.Certificate, p.Key); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestServersPresentTheCertificateOfTheirFiles(t *testing.T) {
	own, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	paths := issued(t, "recorder.example.com")
	config, ca, err := own.ServerTLS(paths, []string{"recorder.example.com"}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(paths.CA); err != nil || ca != string(raw) || ca == own.CACertificate() {
		t.Errorf("clients are told of another authority, %v", err)
	}
	got, err := config.GetCertificate(nil)
	if err != nil || got.Leaf.VerifyHostname("recorder.example.com") != nil || config.MinVersion != tls.VersionTLS13 {
		t.Errorf("%v, %v", got, err)
	}
	config, ca, err = own.ServerTLS(CertificatePaths{}, []string{"recorder.example.com"}, hclog.NewNullLogger())
	if err != nil || len(config.Certificates) != 1 || ca != own.CACertificate() {
		t.Errorf("%v, %v", config, err)
	}
}

func TestCertificatesThatClientsWouldRefuseAreRefused(t *testing.T) {
	good, other := issued(t, "recorder.example.com"), issued(t, "recorder.example.com")
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*CertificatePaths)
		host   string
		want   string
	}{
		"another name":      {func(*CertificatePaths) {}, "other.example.com", "other.example.com"},
		"another authority": {func(p *CertificatePaths) { p.CA = other.CA }, "recorder.example.com", "unknown authority"},
		"another key":       {func(p *CertificatePaths) { p.Key = other.Key }, "recorder.example.com", "private key does not match"},
		"no certificate":    {func(p *CertificatePaths) { p.Certificate = garbage }, "recorder.example.com", garbage},
		"no authority":      {func(p *CertificatePaths) { p.CA = garbage }, "recorder.example.com", garbage},
		"absent":            {func(p *CertificatePaths) { p.Key += "x" }, "recorder.example.com", good.Key + "x"},
	} {
		paths := good
		c.change(&paths)
		_, err := OpenCertificateFiles(paths, []string{c.host}, hclog.NewNullLogger())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range []CertificatePaths{{Certificate: "a"}, {Key: "a", CA: "b"}} {
		if p.Validate() == nil {
			t.Errorf("%+v is half of it", p)
		}
	}
}

func TestRenewedCertificatesAreTaken(t *testing.T) {
	paths := issued(t, "recorder.example.com")
	f, err := OpenCertificateFiles(paths, []string{"recorder.example.com"}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	look := func() string {
		f.checked = time.Time{} // as after a while
		got, err := f.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.String()
	}
	first := look()
	if err := os.WriteFile(paths.Certificate, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if look() != first {
		t.Error("the certificate is gone while its file is being written")
	}
	a, err := OpenAuthority(filepath.Dir(paths.CA))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.WriteServerCertificate([]string{"recorder.example.com"}, paths.Certificate, paths.Key); err != nil {
		t.Fatal(err)
	}
	if look() == first {
		t.Error("a renewed certificate was not taken")
	}
}
