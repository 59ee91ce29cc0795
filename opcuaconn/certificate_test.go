package opcuaconn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
)

func TestTheOwnCertificateIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "opcua")
	var made [4]identity
	var running sync.WaitGroup
	for i := range made {
		running.Go(func() {
			var err error
			if made[i], err = keptIdentity(dir, "north-gw1", time.Unix(0, 0)); err != nil { // a clock that nobody has set
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, m := range made {
		if !bytes.Equal(m.Cert, made[0].Cert) || !strings.HasSuffix(m.URI, ":busbar:north-gw1") || !strings.HasPrefix(m.URI, "urn:") {
			t.Fatalf("%+v", m)
		}
	}
	certificate, err := x509.ParseCertificate(made[0].Cert)
	if err != nil {
		t.Fatal(err)
	}
	usages := x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	if now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC); certificate.KeyUsage&usages != usages || certificate.IsCA || len(certificate.DNSNames) != 1 ||
		now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) || certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature) != nil {
		t.Errorf("%+v", certificate)
	}
	for name, mode := range map[string]os.FileMode{ownKey: 0o600, ownCert: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	// Without its certificate, the key is for another one with the same URI; without its
	// key, the certificate is for nothing.
	if err := os.Remove(filepath.Join(dir, ownCert)); err != nil {
		t.Fatal(err)
	}
	if again, err := keptIdentity(dir, "north-gw1", time.Now()); err != nil || !again.Key.Equal(made[0].Key) || again.URI != made[0].URI {
		t.Errorf("%v", err)
	}
	if err := os.Remove(filepath.Join(dir, ownKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := keptIdentity(dir, "north-gw1", time.Now()); err == nil || !strings.Contains(err.Error(), "is for another key than") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(filepath.Join(dir, ownKey), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keptIdentity(dir, "north-gw1", time.Now()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
}

func TestKeysThatCantBeUsed(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for what, c := range map[string]struct {
		text []byte
		want string
	}{
		"EC":               {text("EC PRIVATE KEY", sec1), "RSA"},
		"EC in PKCS #8":    {text("PRIVATE KEY", pkcs8), "RSA"},
		"EC in DER":        {sec1, "RSA"},
		"EC in PKCS8, DER": {pkcs8, "RSA"},
		"locked":           {text("ENCRYPTED PRIVATE KEY", []byte{1}), "locked with a password"},
		"a certificate":    {text("CERTIFICATE", []byte{1}), "no private key"},
		"nothing":          {nil, "no private key"},
		"a short one":      {x509.MarshalPKCS1PrivateKey(small), "has 1024 bits, expected 2048 to 4096"},
	} {
		if _, err := parseKey(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %s", what, err, c.want)
		}
	}
}

// issue makes a certificate by another one, or by itself.
func issue(t testing.TB, key *rsa.PrivateKey, template *x509.Certificate, by *x509.Certificate, byKey *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	template.BasicConstraintsValid = true
	if by == nil {
		by, byKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func generate(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, shortestKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Servers are trusted by their certificate or by who has issued it, if those are
// authorities, and by nothing else.
func TestTrust(t *testing.T) {
	key, other := generate(t), generate(t)
	uri, err := url.Parse("urn:plc-7:server")
	if err != nil {
		t.Fatal(err)
	}
	name := func(s string) pkix.Name { return pkix.Name{CommonName: s} }
	authority := func(key *rsa.PrivateKey, s string) *x509.Certificate {
		return issue(t, key, &x509.Certificate{Subject: name(s), IsCA: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	}
	root := authority(key, "root")
	between := issue(t, key, &x509.Certificate{Subject: name("between"), IsCA: true, KeyUsage: x509.KeyUsageCertSign}, root, key)
	plain := issue(t, key, &x509.Certificate{Subject: name("no authority"), KeyUsage: x509.KeyUsageDigitalSignature}, root, key)
	server := func(by *x509.Certificate) *x509.Certificate {
		return issue(t, other, &x509.Certificate{Subject: name("plc-7"), DNSNames: []string{"plc-7"}, URIs: []*url.URL{uri}}, by, key)
	}
	direct, behind, forged := server(root), server(between), server(plain)
	expired := issue(t, other, &x509.Certificate{Subject: name("plc-7"), DNSNames: []string{"plc-7"}, URIs: []*url.URL{uri},
		NotBefore: time.Now().Add(-2 * time.Minute), NotAfter: time.Now().Add(-time.Minute)}, root, key)
	for what, c := range map[string]struct {
		trusted []*x509.Certificate
		chain   []*x509.Certificate
		want    error
	}{
		"itself":                        {[]*x509.Certificate{direct}, []*x509.Certificate{direct}, nil},
		"its authority":                 {[]*x509.Certificate{plain, root}, []*x509.Certificate{direct}, nil},
		"an authority behind another":   {[]*x509.Certificate{root}, []*x509.Certificate{behind, between}, nil},
		"one that it doesn't introduce": {[]*x509.Certificate{root}, []*x509.Certificate{behind}, ErrUntrusted},
		"another authority":             {[]*x509.Certificate{authority(other, "root")}, []*x509.Certificate{direct}, ErrUntrusted},
		"who is no authority":           {[]*x509.Certificate{plain}, []*x509.Certificate{forged}, ErrUntrusted},
		"nobody":                        {nil, []*x509.Certificate{direct, root}, ErrUntrusted},
		"an expired one's authority":    {[]*x509.Certificate{root}, []*x509.Certificate{expired}, ErrExpired},
	} {
		dir := t.TempDir()
		var told bytes.Buffer
		if err := os.WriteFile(filepath.Join(dir, "README"), []byte("no certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, cert := range c.trusted {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), cert.Raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var shown []byte
		for _, cert := range c.chain {
			shown = append(shown, cert.Raw...)
		}
		config := Config{Trust: []configfile.Path{configfile.Path(filepath.Base(dir))}}
		o := Options{Dir: filepath.Dir(dir), Keep: t.TempDir(), Log: slog.New(slog.NewTextHandler(&told, nil))}.withDefaults()
		got, err := config.check(endpoint{certificate: shown, applicationURI: "urn:plc-7:server"}, "plc-7", o)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || !got.Equal(c.chain[0])) {
			t.Errorf("%s: %v, expected %v", what, err, c.want)
		}
		if c.want == ErrUntrusted && !strings.Contains(err.Error(), ".der into "+dir) {
			t.Errorf("%s: %v doesn't say where to put it", what, err)
		}
		if !strings.Contains(told.String(), "README") {
			t.Errorf("a file that is no certificate isn't told: %s", told.String())
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ec.PublicKey, ec)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range [][]byte{der, []byte("nothing")} {
		if _, err := (Config{}).check(endpoint{certificate: shown}, "plc-7", Options{Keep: t.TempDir()}.withDefaults()); !errors.Is(err, ErrUnusable) {
			t.Errorf("%v", err)
		}
	}
}

// A server that shows another certificate each time doesn't fill the disk.
func TestFewRejectedCertificatesAreKept(t *testing.T) {
	key, dir := generate(t), t.TempDir()
	var last string
	for i := range mostRejected + 5 {
		certificate := issue(t, key, &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "../../plc 7"}}, nil, nil)
		path, err := keepRejected(dir, certificate)
		if err != nil || filepath.Dir(path) != dir {
			t.Fatal(path, err)
		}
		os.Chtimes(path, time.Time{}, time.Now().Add(time.Duration(i-100)*time.Minute))
		last = path
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != mostRejected {
		t.Errorf("%d, %v", len(entries), err)
	}
	if _, err := os.Stat(last); err != nil {
		t.Error(err)
	}
}

func FuzzParseKey(f *testing.F) {
	key := generate(f)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(x509.MarshalPKCS1PrivateKey(key))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := parseKey(text); (key == nil) == (err == nil) {
			t.Errorf("%v, %v", key, err)
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	certificate := issue(f, generate(f), &x509.Certificate{}, nil, nil)
	f.Add(certificate.Raw)
	f.Add(append(bytes.Clone(certificate.Raw), certificate.Raw...))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, err := parseCertificates(text); (len(all) == 0) == (err == nil) {
			t.Errorf("%v, %v", all, err)
		}
	})
}
