package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// renewalCheck is how often the files of a certificate are looked at again, while there are connections.
const renewalCheck = time.Minute

// CertificatePaths name the files of a server's certificate that is not from the installation's own authority: all of them, or none.
type CertificatePaths struct {
	Certificate string // PEM, with what leads to its authority
	Key         string // PEM
	CA          string // PEM of the authority; it goes into client files
}

// Validate reports that some are named and others are not.
func (p CertificatePaths) Validate() error {
	if none := (CertificatePaths{}); p != none && (p.Certificate == "" || p.Key == "" || p.CA == "") {
		return errors.New("--tls-certificate, --tls-key and --tls-ca go together: one of them is missing")
	}
	return nil
}

// CertificateFiles is a server's certificate from an authority that is not the installation's own. It is read again when it was
// renewed, without a restart. It is safe for concurrent use.
type CertificateFiles struct {
	paths  CertificatePaths
	ca     string
	roots  *x509.CertPool
	names  []string
	logger hclog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]time.Time // when the files were last changed, as they are in current
	checked time.Time
}

// OpenCertificateFiles reads the files. The error is about the one that it names: it cannot be read, is expired, is not for one of
// the names, or the authority did not sign it.
func OpenCertificateFiles(paths CertificatePaths, names []string, logger hclog.Logger) (*CertificateFiles, error) {
	raw, err := os.ReadFile(paths.CA)
	if err != nil {
		return nil, fmt.Errorf("read certificate of the authority: %w", err)
	}
	f := &CertificateFiles{paths: paths, ca: string(raw), roots: x509.NewCertPool(), names: names, logger: logger}
	if !f.roots.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("read certificate of the authority %s: it is not PEM", paths.CA)
	}
	if f.stamp, err = f.changed(); err != nil {
		return nil, err
	}
	if f.current, err = f.load(); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	return f, nil
}

// CA returns the authority's certificate in PEM.
func (f *CertificateFiles) CA() string { return f.ca }

// Get returns the present certificate; see tls.Config.GetCertificate. Files that cannot be used, as while they are being renewed, leave the
// one before in use.
func (f *CertificateFiles) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < renewalCheck {
		return f.current, nil
	}
	f.checked = time.Now()
	f.renew()
	return f.current, nil
}

// renew reads the files again where they were changed. The caller holds mu.
func (f *CertificateFiles) renew() {
	stamp, err := f.changed()
	if err == nil && stamp == f.stamp {
		return
	}
	var renewed *tls.Certificate
	if err == nil {
		renewed, err = f.load()
	}
	if err != nil {
		f.logger.Warn("renewed certificate not taken", "error", err, "until", f.current.Leaf.NotAfter.UTC().Format(time.RFC3339))
		return
	}
	f.current, f.stamp = renewed, stamp
	f.logger.Info("certificate renewed", "until", renewed.Leaf.NotAfter.UTC().Format(time.RFC3339))
}

func (f *CertificateFiles) changed() (stamp [2]time.Time, err error) {
	for i, path := range []string{f.paths.Certificate, f.paths.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return stamp, fmt.Errorf("read server certificate: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

// load reads and checks the pair as clients will.
func (f *CertificateFiles) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.paths.Certificate, f.paths.Key)
	if err != nil {
		return nil, fmt.Errorf("read server certificate %s with key %s: %w", f.paths.Certificate, f.paths.Key, err)
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read server certificate %s: %w", f.paths.Certificate, err)
		}
		between.AddCert(c)
	}
	_, failed := pair.Leaf.Verify(x509.VerifyOptions{Roots: f.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, name := range f.names {
		if failed == nil {
			failed = pair.Leaf.VerifyHostname(name)
		}
	}
	if failed != nil {
		return nil, fmt.Errorf("check server certificate %s: %w", f.paths.Certificate, failed)
	}
	return &pair, nil
}

// ServerTLS returns how a server that is reached under these names presents itself, over TLS 1.3 and nothing less, and the authority's
// certificate in PEM by which clients know it: with the certificate of the files or, where none are named, with one by this authority.
func (a *Authority) ServerTLS(paths CertificatePaths, names []string, logger hclog.Logger) (config *tls.Config, ca string, err error) {
	config = &tls.Config{MinVersion: tls.VersionTLS13}
	if paths == (CertificatePaths{}) {
		certificate, err := a.ServerCertificate(names)
		config.Certificates = []tls.Certificate{certificate}
		return config, a.CACertificate(), err
	}
	files, err := OpenCertificateFiles(paths, names, logger)
	if err != nil {
		return nil, "", err
	}
	config.GetCertificate = files.Get
	return config, files.CA(), nil
}
