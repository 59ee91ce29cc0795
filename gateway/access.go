package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/keyfile"
)

// What a status page needs that other machines reach, beside the buffer's files: its
// certificate with its key, its password, and the socket at which this machine asks.
const (
	accessFile   = "status.pem"
	passwordFile = "status.password"
	socketFile   = "status.sock"
)

// reachable reports whether other machines reach an address.
func reachable(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// OpenAccess is what other machines need to reach a gateway's status page. What is missing
// is made. dir is what the configuration's file names are relative to.
func OpenAccess(config gatewayconfig.Config, dir string) (status.Access, error) {
	beside := config.Buffer.Path.In(dir)
	certificate, err := OpenCertificate(beside, config.Gateway.ID)
	if err != nil {
		return status.Access{}, fmt.Errorf("the status page's certificate: %w", err)
	}
	password, err := openPassword(config.Status.PasswordFile.In(dir), config.Status.PasswordFile != "", filepath.Join(beside, passwordFile))
	return status.Access{Certificate: certificate, Password: password}, err
}

// OpenCertificate is the certificate in a buffer's directory by which a gateway is known, or
// the name of what isn't one yet.
func OpenCertificate(dir, gateway string) (tls.Certificate, error) {
	path := filepath.Join(dir, accessFile)
	text, err := keyfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = newCertificate(gateway); err == nil {
			err = keyfile.Create(path, text)
		}
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(text, text)
}

// newCertificate is one that a gateway makes for itself, with its key. It has no end, and
// begins before any clock: nobody vouches for it, so that what counts is its fingerprint.
func newCertificate(gateway string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	about := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: gateway}, DNSNames: []string{gateway, gateway + ".local"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

const shortestPassword, longestPassword = 12, 100 // characters

func openPassword(given string, isGiven bool, own string) (string, error) {
	if !isGiven {
		text, err := keyfile.Read(own)
		if errors.Is(err, fs.ErrNotExist) {
			text = []byte(newPassword() + "\n")
			err = keyfile.Create(own, text)
		}
		return strings.TrimRight(string(text), "\r\n"), err
	}
	text, err := keyfile.Read(given)
	if err != nil {
		return "", fmt.Errorf("status.password_file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if n := utf8.RuneCountInString(password); n < shortestPassword || n > longestPassword {
		return "", fmt.Errorf("status.password_file: %s has %d characters, expected %d to %d", given, n, shortestPassword, longestPassword)
	}
	return password, nil
}

// newPassword is 80 bits in groups that can be read off a screen and typed.
func newPassword() string {
	text := strings.ToLower(rand.Text()[:16])
	return strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-")
}

// serveStatus goes without the status page if its address is taken: reading
// meters matters more.
func (g *Gateway) serveStatus(ctx context.Context, s source, in *sync.WaitGroup) {
	address := g.config.Status.Listen
	local := func() (net.Listener, error) { return net.Listen("tcp", address) }
	if reachable(address) {
		local = g.listenHere
		access, err := OpenAccess(g.config, g.options.Dir)
		if err != nil {
			g.log.Error("there is no status page for other machines", "error", err)
		} else if listener, err := net.Listen("tcp", address); err != nil {
			g.log.Error("there is no status page for other machines", "error", err)
		} else {
			g.log.Info("status page", "address", "https://"+listener.Addr().String(), "fingerprint", access.Fingerprint())
			if g.options.Show != nil {
				g.options.Show(address, access)
			}
			in.Go(func() { status.ServeRemote(ctx, listener, access, s, g.log) })
		}
	}
	listener, err := local()
	if err != nil {
		g.log.Error("there is no status page on this machine", "error", err)
		return
	}
	if !reachable(address) {
		g.log.Info("status page", "address", "http://"+listener.Addr().String())
	}
	in.Go(func() { status.Serve(ctx, listener, s, g.log) })
}

// listenHere opens the socket at which programs of this machine ask whose user may.
func (g *Gateway) listenHere() (net.Listener, error) {
	path := filepath.Join(g.config.Buffer.Path.In(g.options.Dir), socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o600)
}
