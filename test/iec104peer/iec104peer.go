// Package iec104peer starts stations of IEC 60870-5-104 that we didn't write, for tests: a
// controlling one, and controlled ones, c104 (lib60870) and j60870, each with the same objects at common address 1.
//
//	1001  double point, off; spontaneously with a time
//	1002  single point, on
//	1003  short floating point, 10.5
//	1004  scaled value, -321
//	1005  integrated total, 4711
//	1006  short floating point with a time, 20.25, periodic (c104 only)
//	2001  double command for 1001, to be selected first
//	2002  single command for 1002, direct
//	2003  set point for 1003, direct, which isn't terminated
//	2004  single command that is refused
//	2005  single command with a time for 1002, to be selected first (c104 only)
package iec104peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// Kind is one of the stations.
type Kind string

const (
	C104   Kind = "c104"
	J60870 Kind = "j60870"
)

// Kinds are all of them.
var Kinds = []Kind{C104, J60870}

// Station is one that was started.
type Station struct {
	program
	address string
}

// Start starts a station on a free port of this machine and returns when it answers. It
// ends with the test. keys nil means without encryption. If the station isn't installed,
// the test is skipped, or fails if CI is set.
func Start(t testing.TB, kind Kind, keys *Keys) *Station {
	t.Helper()
	command, missing := kind.command()
	if missing != "" {
		peer.Missing(t, "no %s: %s; make peers", kind, missing)
	}
	s := &Station{program{t: t}, peer.Address(t)}
	_, port, _ := net.SplitHostPort(s.address)
	s.args = append(command, port)
	if keys != nil {
		s.args = append(s.args, keys.CA, keys.Server.Cert, keys.Server.Key)
	}
	t.Cleanup(func() { s.end(string(kind)) })
	s.Restart()
	return s
}

// Address is where it is reached, as host:port.
func (s *Station) Address() string { return s.address }

// Restart ends it, if it runs, and starts it again on the same port.
func (s *Station) Restart() {
	s.t.Helper()
	s.start()
	await.True(s.t, "the station answers", func() bool {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			c.Close()
		}
		return err == nil && strings.Contains(s.Said(), "ready")
	})
}

// command starts the station, but for its settings; missing says what isn't installed.
func (k Kind) command() (command []string, missing string) {
	if k == C104 {
		return c104("outstation.py")
	}
	return j60870("Station")
}

// j60870 is the command that runs one of our programs on j60870; missing says why it can't.
func j60870(name string) (command []string, missing string) {
	installed := filepath.Join(peer.Root(), ".peers", "j60870")
	class, err := os.Stat(filepath.Join(installed, name+".class"))
	if err != nil {
		return nil, err.Error()
	}
	code, err := os.Stat(filepath.Join(peer.Root(), "test", "peers", "iec104", "j60870", name+".java"))
	if err != nil {
		return nil, err.Error()
	}
	if code.ModTime().After(class.ModTime()) {
		return nil, name + ".java isn't compiled"
	}
	return []string{"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx128m",
		"-cp", installed + string(filepath.ListSeparator) + filepath.Join(installed, "*"), name}, ""
}

// Keys are the certificates of a station and of who speaks to it, in files.
type Keys struct {
	CA             string // of both
	Server, Client Pair
	Foreign        Pair // of a client, by another authority
}

// Pair is a certificate and its key.
type Pair struct{ Cert, Key string }

// NewKeys makes them.
func NewKeys(t testing.TB) *Keys {
	t.Helper()
	dir := t.TempDir()
	k := &Keys{CA: filepath.Join(dir, "ca.crt")}
	ca, caKey := authority(t, k.CA)
	other, otherKey := authority(t, filepath.Join(dir, "other.crt"))
	k.Server = pair(t, dir, "server", ca, caKey)
	k.Client = pair(t, dir, "client", ca, caKey)
	k.Foreign = pair(t, dir, "foreign", other, otherKey)
	return k
}

func authority(t testing.TB, file string) (*x509.Certificate, *ecdsa.PrivateKey) {
	template := certificate("Busbar's test authority")
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	key, der := sign(t, template, nil, nil)
	write(t, file, "CERTIFICATE", der)
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func pair(t testing.TB, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) Pair {
	template := certificate(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	key, der := sign(t, template, ca, caKey)
	p := Pair{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")}
	write(t, p.Cert, "CERTIFICATE", der)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.Key, "PRIVATE KEY", secret)
	return p
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Busbar"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), BasicConstraintsValid: true,
	}
}

func sign(t testing.TB, template, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func write(t testing.TB, file, kind string, der []byte) {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
