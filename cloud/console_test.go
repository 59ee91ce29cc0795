package cloud

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// certify writes NAME.crt and NAME.key, signed by an authority or by itself, for hosts.
func certify(t *testing.T, dir, name string, by *tls.Certificate, hosts ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: by == nil, BasicConstraintsValid: true}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// A console that other machines reach: nobody is let in without a certificate that they
// are asked for, nor without a token, nor by a name that isn't its own.
func TestAConsoleOpenToOthers(t *testing.T) {
	dir := t.TempDir()
	authority := certify(t, dir, "authority", nil)
	certify(t, dir, "console", &authority, "console.example", "127.0.0.1")
	client := certify(t, dir, "client", &authority)
	config := embedded(t)
	config.Console.SignIn = true
	config.Console.TLS = &ConsoleTLS{Cert: "console.crt", Key: "console.key", ClientCA: "authority.crt"}
	c, err := New(t.Context(), config, Options{Version: "test", Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	tokens := map[string]string{}
	for _, zones := range []string{"*", "north"} {
		tokens[zones] = access.TokenPrefix + access.NewSecret()
		if err := c.store.AddAPIToken(t.Context(), store.APIToken{Name: "of-" + strings.Trim(zones, "*"), Role: "viewer", Zones: zones,
			Expires: telemetry.MicrosOf(time.Now().Add(time.Hour))}, tokens[zones]); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	trusting := func(certificates ...tls.Certificate) *http.Client {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}, ForceAttemptHTTP2: true}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	base := "https://" + config.Console.Listen
	if response, err := trusting().Get(base + "/healthz"); err == nil {
		t.Errorf("without a certificate: %s", response.Status)
	}
	known := trusting(client)
	for _, ask := range []struct {
		path, host, token string
		want              int
	}{
		{"/", "console.example", "", 200},
		{"/healthz", "", "", 200},
		{"/livez", "", "", 200},
		{"/livez", "10.0.0.1:8080", "", 200}, // probes ask by address
		{"/healthz", "10.0.0.1:8080", "", 200},
		{"/metrics", "10.0.0.1:8080", tokens["*"], 421},
		{"/", "evil.example", "", 421},
		{"/api/v1/alarms", "", "", 401},
		{"/api/v1/alarms", "", tokens["*"], 200},
		{"/api/v1/alarms", "evil.example", tokens["*"], 421},
		{"/api/v2/alerts", "", "", 401},
		{"/api/v2/alerts", "", tokens["north"], 200},
		{"/metrics", "", "", 401},
		{"/metrics", "", tokens["*"], 200},
		{"/metrics", "", tokens["north"], 403},
		{"/openapi.json", "", "", 401},
		{"/openapi.json", "", tokens["north"], 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", base+ask.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = ask.host
		if ask.token != "" {
			r.Header.Set("Authorization", "Bearer "+ask.token)
		}
		response, err := known.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != ask.want {
			t.Errorf("%+v: %s %s, %v", ask, response.Status, body, err)
		}
		if response.ProtoMajor != 2 {
			t.Errorf("%s", response.Proto)
		}
		for header, want := range map[string]string{"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
			if got := response.Header.Get(header); got != want {
				t.Errorf("%s: %s: %q, want %q", ask.path, header, got, want)
			}
		}
		if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %q", ask.path, policy)
		}
	}
}

func TestAConsoleNeedsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir, "console", nil)
	for want, files := range map[string]ConsoleTLS{
		"nowhere.crt":            {Cert: "nowhere.crt", Key: "console.key"},
		"no-ca.crt":              {Cert: "console.crt", Key: "console.key", ClientCA: "no-ca.crt"},
		"console.key has no cer": {Cert: "console.crt", Key: "console.key", ClientCA: configfile.Path("console.key")},
	} {
		config := embedded(t)
		config.Console.TLS = &files
		c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
		if err == nil {
			c.close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Between a renewed certificate and its key the console answers as before.
func TestACertificateThatIsRenewed(t *testing.T) {
	dir := t.TempDir()
	first := certify(t, dir, "console", nil, "first.example")
	second := certify(t, dir, "renewed", nil, "second.example")
	replace := func(suffix string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, "renewed"+suffix), filepath.Join(dir, "console"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	var logged strings.Builder
	config, named, err := ConsoleTLS{Cert: "console.crt", Key: "console.key"}.load(dir, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want tls.Certificate, host string, warnings int) {
		t.Helper()
		for range 3 {
			got, err := config.GetCertificate(nil)
			if err != nil || !got.Leaf.Equal(want.Leaf) || !named(host) {
				t.Fatalf("it isn't that of %s: %v", host, err)
			}
		}
		if n := strings.Count(logged.String(), "level=WARN"); n != warnings {
			t.Errorf("%d warnings, want %d: %s", n, warnings, logged.String())
		}
	}
	expect(first, "first.example", 0)
	replace(".crt")
	expect(first, "first.example", 1)
	if err := os.Remove(filepath.Join(dir, "console.key")); err != nil {
		t.Fatal(err)
	}
	expect(first, "first.example", 2)
	replace(".key")
	expect(second, "second.example", 2)
}

// Whenever it is stopped, the last head of the audit is in the log.
func TestTheLastHeadOfTheAuditIsTold(t *testing.T) {
	c, err := New(t.Context(), embedded(t), Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.store.AddAPIToken(t.Context(), store.APIToken{Name: "t", Role: "viewer", Zones: "*", Expires: 1}, access.NewSecret()); err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	c.log = slog.New(slog.NewTextHandler(&logged, nil))
	ended, end := context.WithCancel(t.Context())
	end()
	c.tellAudit(ended)
	if n := strings.Count(logged.String(), "head of the audit"); n != 1 {
		t.Errorf("it is told %d times", n)
	}
}
