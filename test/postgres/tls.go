package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartTLS is Start of a server that takes connections by TLS at 127.0.0.1 too, from
// user busbar with a password. Its certificate is for localhost, and made with its own
// key: its file is returned, and the port.
func StartTLS(t testing.TB, password string) (s *Server, certificate string, port int) {
	t.Helper()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	certify(t, certificate, key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	s = Start(t, Fast...)
	if err := s.exec("postgres", "ALTER USER busbar PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.options = append(s.options, "listen_addresses=127.0.0.1", fmt.Sprint("port=", port), "ssl=on")
	rules := "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
	if err := s.give("pg_hba.conf", []byte(rules)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{certificate, key} {
		text, err := os.ReadFile(path)
		if err == nil {
			err = s.give(filepath.Base(path), text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.port = port
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	return s, certificate, port
}

func certify(t testing.TB, certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &about, &about, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
