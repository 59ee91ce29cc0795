package opcuaconn

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/keyfile"
)

// What is in Options.Keep: the gateway's own certificate and key, the certificates of
// servers that it trusts unless the configuration says others, and those that it has
// refused.
const (
	ownCert     = "own.der"
	ownKey      = "own.key"
	trustedDir  = "trusted"
	rejectedDir = "rejected"
)

const (
	shortestKey = 2048 // in bits, as the security policies have it
	longestKey  = 4096
	mostFile    = 1 << 20 // bytes of a certificate's file

	// ownYears is how long the own certificate is good for: with each new one somebody
	// has to visit every server.
	ownYears = 20
)

// ownFrom is from when it is good: a gateway that makes one may not know the time yet,
// and the server's clock may be late.
var ownFrom = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// identity is a certificate with its private key.
type identity struct {
	Cert []byte // in DER, without those behind it
	Key  *rsa.PrivateKey
	URI  string // the application URI that the certificate is for; "": none
	path string // of the certificate
}

// uri is the application URI by which the server knows us.
func (i identity) uri(o Options) string {
	if i.URI != "" {
		return i.URI
	}
	return applicationURI(o.ApplicationName)
}

func applicationURI(name string) string {
	return "urn:" + url.PathEscape(hostname()) + ":busbar:" + url.PathEscape(name)
}

func hostname() string {
	if host, err := os.Hostname(); err == nil && host != "" {
		return host
	}
	return "localhost"
}

// own is the gateway's own certificate: the one of the configuration, or the one that is
// kept, which is made if there is none.
func (c Config) own(o Options) (identity, error) {
	if c.Security.Cert != "" {
		own, err := readIdentity(c.Security.Cert.In(o.Dir), c.Security.Key.In(o.Dir))
		if err == nil && own.URI == "" {
			err = fmt.Errorf("the certificate %s has no application URI among its subject alternative names, and servers refuse it", c.Security.Cert.In(o.Dir))
		}
		return own, err
	}
	if o.Keep == "" {
		return identity{}, errors.New("no certificate of our own: name one with cert and key")
	}
	return keptIdentity(o.Keep, o.ApplicationName, o.Now())
}

// keptIdentity is the certificate kept in a directory, in own.der and own.key, which is made if
// there is none. What is there is never replaced: servers trust it.
func keptIdentity(dir, name string, now time.Time) (identity, error) {
	keyPath, certPath := filepath.Join(dir, ownKey), filepath.Join(dir, ownCert)
	if _, err := os.Stat(keyPath); errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(keyPath); err != nil {
			return identity{}, fmt.Errorf("make the key %s: %w", keyPath, err)
		}
	}
	text, err := keyfile.Read(keyPath)
	if err != nil {
		return identity{}, err
	}
	key, err := parseKey(text)
	if err != nil {
		return identity{}, fmt.Errorf("the key %s: %w", keyPath, err)
	}
	if _, err := os.Stat(certPath); errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(certPath, key, name, now); err != nil {
			return identity{}, fmt.Errorf("make the certificate %s: %w", certPath, err)
		}
	}
	return readIdentity(certPath, keyPath)
}

func makeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, shortestKey)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	err = keyfile.Create(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if errors.Is(err, fs.ErrExist) {
		return nil // another connection was faster
	}
	return err
}

// makeCertificate makes an application instance certificate (OPC 10000-6, 6.2.2) that
// its own key has signed.
func makeCertificate(path string, key *rsa.PrivateKey, name string, now time.Time) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	uri, err := url.Parse(applicationURI(name))
	if err != nil {
		return err
	}
	if now.Before(ownFrom) {
		now = ownFrom
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name + " on " + hostname(), Organization: []string{"Busbar"}},
		NotBefore:    ownFrom, NotAfter: now.AddDate(ownYears, 0, 0),
		URIs: []*url.URL{uri}, DNSNames: []string{hostname()},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment |
			x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign, // the last because it has signed itself
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if err = keyfile.Create(path, der); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Chmod(path, 0o644) // it is for others
}

// readIdentity reads a certificate and its key.
func readIdentity(certPath, keyPath string) (identity, error) {
	text, err := readFile(certPath)
	if err != nil {
		return identity{}, fmt.Errorf("read the certificate: %w", err)
	}
	certificates, err := parseCertificates(text)
	if err != nil {
		return identity{}, fmt.Errorf("the certificate %s: %w", certPath, err)
	}
	certificate := certificates[0]
	if text, err = readFile(keyPath); err != nil {
		return identity{}, fmt.Errorf("read the key: %w", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return identity{}, fmt.Errorf("the key %s: %w", keyPath, err)
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return identity{}, fmt.Errorf("the certificate %s is for another key than %s", certPath, keyPath)
	}
	i := identity{Cert: certificate.Raw, Key: key, path: certPath}
	if len(certificate.URIs) > 0 {
		i.URI = certificate.URIs[0].String()
	}
	return i, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > mostFile {
		return nil, fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	return os.ReadFile(path)
}

// parseCertificates reads certificates in PEM or DER. There is at least one if there is
// no error.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var der []byte
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			der = append(der, block.Bytes...)
		}
	}
	if der == nil {
		der = text
	}
	all, err := x509.ParseCertificates(der)
	if err == nil && len(all) == 0 {
		err = errors.New("it is no certificate in PEM or DER")
	}
	return all, err
}

var errNotRSA = errors.New("the key isn't an RSA one, as all security policies need it")

// parseKey reads an RSA key in PKCS #8 or PKCS #1, in PEM or DER.
func parseKey(text []byte) (*rsa.PrivateKey, error) {
	der := text
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errLocked
			}
			der = block.Bytes
		case "EC PRIVATE KEY":
			return nil, errNotRSA
		case "ENCRYPTED PRIVATE KEY":
			return nil, errLocked
		}
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		if _, ec := x509.ParseECPrivateKey(der); ec == nil {
			return nil, errNotRSA
		}
		any, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, errors.New("it is no private key in PKCS #8 or PKCS #1, in PEM or DER")
		}
		var ok bool
		if key, ok = any.(*rsa.PrivateKey); !ok {
			return nil, errNotRSA
		}
	}
	if err := checkBits(&key.PublicKey); err != nil {
		return nil, err
	}
	return key, nil
}

var errLocked = errors.New("the key is locked with a password, expected one that isn't, in a file that nobody else can read")

func checkBits(key *rsa.PublicKey) error {
	if bits := key.N.BitLen(); bits < shortestKey || bits > longestKey {
		return fmt.Errorf("the key has %d bits, expected %d to %d", bits, shortestKey, longestKey)
	}
	return nil
}
