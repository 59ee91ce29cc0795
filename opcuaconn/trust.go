package opcuaconn

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/keyfile"
)

const (
	mostTrusted  = 1000 // files of a directory
	mostRejected = 32   // files that are kept: a server may show another certificate each time
)

// What keeps a server from being trusted; the error of Dial says more.
var (
	ErrUntrusted   = errors.New("the server's certificate isn't trusted")
	ErrExpired     = errors.New("the server's certificate has expired")
	ErrNotYetValid = errors.New("the server's certificate isn't valid yet")
	ErrWrongURI    = errors.New("the server's certificate is another application's")
	ErrWrongHost   = errors.New("the server's certificate is another host's")
	ErrUnusable    = errors.New("the server's certificate can't be used")
)

// refusal is why a certificate is refused, with what was found and expected, what to do
// about it, and the certificate's thumbprint: SHA-1 in hex, as servers show it.
func refusal(reason error, der []byte, format string, args ...any) error {
	return fmt.Errorf("%w: %s (thumbprint %s)", reason, fmt.Sprintf(format, args...), thumbprint(der))
}

// check is the certificate of a server, whose key is an RSA one, if it is trusted and is
// the one of this application on this host, now (OPC 10000-4, 6.1.3).
func (c Config) check(e endpoint, host string, o Options) (*x509.Certificate, error) {
	if len(e.certificate) == 0 {
		return nil, errors.New("the server shows no certificate")
	}
	chain, err := x509.ParseCertificates(e.certificate)
	if err != nil || len(chain) == 0 {
		return nil, refusal(ErrUnusable, e.certificate, "it can't be read: %v", err)
	}
	certificate, now := chain[0], o.Now()
	refuse := func(reason error, format string, args ...any) (*x509.Certificate, error) {
		return nil, refusal(reason, certificate.Raw, format, args...)
	}
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return refuse(ErrUnusable, "%v", errNotRSA)
	}
	if err := checkBits(key); err != nil {
		return refuse(ErrUnusable, "%v", err)
	}
	trusted, err := c.trusted(o)
	if err != nil {
		return nil, err
	}
	if !trusts(trusted, chain, now) {
		return refuse(ErrUntrusted, "%s", c.advise(certificate, o))
	}
	if now.After(certificate.NotAfter) {
		return refuse(ErrExpired, "it was valid until %s, and it is %s: give the server a new one", date(certificate.NotAfter), date(now))
	}
	if now.Before(certificate.NotBefore) {
		return refuse(ErrNotYetValid, "it will be from %s on, and it is %s: check the clocks of gateway and server", date(certificate.NotBefore), date(now))
	}
	var uris []string
	for _, u := range certificate.URIs {
		uris = append(uris, u.String())
	}
	if !slices.Contains(uris, e.applicationURI) {
		return refuse(ErrWrongURI, "it is for %s, and the server calls itself %q", list(uris), shorten(e.applicationURI))
	}
	if c.Security.ServerName != "" {
		host = c.Security.ServerName
	}
	if err := certificate.VerifyHostname(host); err != nil {
		names := slices.Clone(certificate.DNSNames)
		for _, ip := range certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return refuse(ErrWrongHost, "it is for %s, and not for %s; if it is the right server's, name what it is for with server_name", list(names), host)
	}
	return certificate, nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	var quoted []string
	for _, n := range names[:min(len(names), 8)] {
		quoted = append(quoted, fmt.Sprintf("%q", shorten(n)))
	}
	return strings.Join(quoted, ", ")
}

// thumbprint names a certificate.
func thumbprint(der []byte) string { return fmt.Sprintf("%x", sha1.Sum(der)) }

// trusts is whether a certificate, with those behind it that introduce it, is a trusted
// one or comes from one. Revocation lists aren't looked at.
func trusts(trusted, chain []*x509.Certificate, now time.Time) bool {
	if slices.ContainsFunc(trusted, func(t *x509.Certificate) bool { return bytes.Equal(t.Raw, chain[0].Raw) }) {
		return true
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, t := range trusted {
		if t.IsCA {
			roots.AddCert(t)
		}
	}
	for _, b := range chain[1:] {
		between.AddCert(b)
	}
	if now.After(chain[0].NotAfter) || now.Before(chain[0].NotBefore) {
		now = chain[0].NotAfter // that it isn't valid now is another reason, which has its own text
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// trusted are the certificates that the configuration trusts. They are read at each
// connection, so that one that is put there counts at the next.
func (c Config) trusted(o Options) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	if len(c.Trust) == 0 {
		if o.Keep == "" {
			return nil, errors.New("no certificate is trusted: name those that are with trust")
		}
		dir := filepath.Join(o.Keep, trustedDir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the directory of trusted certificates: %w", err)
		}
		return readDir(dir, o.Log)
	}
	for _, p := range c.Trust {
		path := p.In(o.Dir)
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read the trusted certificates: %w", err)
		}
		var some []*x509.Certificate
		if info.IsDir() {
			some, err = readDir(path, o.Log)
		} else {
			some, err = readCertificates(path)
		}
		if err != nil {
			return nil, fmt.Errorf("read the trusted certificates: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	all, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// readDir reads the certificates of a directory. A file that is none doesn't keep the
// others from being trusted.
func readDir(dir string, log *slog.Logger) ([]*x509.Certificate, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the trusted certificates: %w", err)
	}
	if len(entries) > mostTrusted {
		return nil, fmt.Errorf("%s has %d files, expected %d at most", dir, len(entries), mostTrusted)
	}
	var all []*x509.Certificate
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		some, err := readCertificates(filepath.Join(dir, e.Name()))
		if err != nil {
			log.Warn("a file among the trusted OPC UA certificates is none", "error", err)
			continue
		}
		all = append(all, some...)
	}
	return all, nil
}

// advise keeps a certificate that isn't trusted, and says what to do if it should be.
func (c Config) advise(certificate *x509.Certificate, o Options) string {
	to := "a directory that trust names"
	if len(c.Trust) == 0 {
		to = filepath.Join(o.Keep, trustedDir)
	}
	for _, p := range c.Trust {
		if info, err := os.Stat(p.In(o.Dir)); err == nil && info.IsDir() {
			to = p.In(o.Dir)
			break
		}
	}
	subject := shorten(certificate.Subject.CommonName)
	if o.Keep == "" {
		return fmt.Sprintf("if %q is the right server, put its certificate into %s", subject, to)
	}
	path, err := keepRejected(filepath.Join(o.Keep, rejectedDir), certificate)
	if err != nil {
		return fmt.Sprintf("if %q is the right server, put its certificate into %s; it couldn't be kept: %v", subject, to, err)
	}
	return fmt.Sprintf("if %q is the right server, move %s into %s", subject, path, to)
}

// keepRejected writes a certificate into a directory, in the place of the oldest one there
// if there are many.
func keepRejected(dir string, certificate *x509.Certificate) (string, error) {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-') {
			return r
		}
		return '_'
	}, certificate.Subject.CommonName)
	path := filepath.Join(dir, fmt.Sprintf("%.40s-%s.der", name, thumbprint(certificate.Raw)))
	if err := keyfile.Create(path, certificate.Raw); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return path, nil
		}
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= mostRejected {
		return path, err
	}
	oldest, age := "", time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && (oldest == "" || info.ModTime().Before(age)) {
			oldest, age = e.Name(), info.ModTime()
		}
	}
	return path, os.Remove(filepath.Join(dir, oldest))
}
