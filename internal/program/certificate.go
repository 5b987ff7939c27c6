package program

import (
	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/internal/identity"
)

// CertificateFlags adds the flags that name the files of a server's certificate.
func CertificateFlags(f *pflag.FlagSet, into *identity.CertificatePaths) {
	f.StringVar(&into.Certificate, "tls-certificate", "", "`FILE` with the server's PEM certificate and what leads to its authority, read again when it is renewed (default: one by the installation's own authority)")
	f.StringVar(&into.Key, "tls-key", "", "`FILE` with the PEM key of --tls-certificate")
	f.StringVar(&into.CA, "tls-ca", "", "`FILE` with the PEM certificate of the authority of --tls-certificate, by which agents, encoders and recctl know the server")
}
