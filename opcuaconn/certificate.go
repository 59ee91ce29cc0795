package opcuaconn

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
)

// Identity is a certificate with its private key.
type Identity struct {
	Cert []byte // in DER
	Key  *rsa.PrivateKey
	URI  string // the application URI that the certificate is for
}

// uri is the application URI by which the server knows us.
func (i Identity) uri(o Options) string {
	if i.URI != "" {
		return i.URI
	}
	return "urn:busbar:" + o.ApplicationName
}

var errNotRSA = errors.New("its key isn't RSA, as the security policies want it")

func readIdentity(cert, key string) (Identity, error) {
	return Identity{}, errors.New("not yet")
}

func (c Config) own(o Options) (Identity, error) { return Identity{}, errors.New("not yet") }

func (c Config) check(e endpoint, host string, o Options) (*x509.Certificate, error) {
	return nil, errors.New("not yet")
}
