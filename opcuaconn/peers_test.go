package opcuaconn

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/test/opcuapeer"
)

// Each server that we didn't write, with keys of several lengths. It tells its endpoints
// by a name that nobody else knows.
func TestServers(t *testing.T) {
	for kind, bits := range map[opcuapeer.Kind]int{opcuapeer.Asyncua: 3072, opcuapeer.Node: 4096, opcuapeer.Milo: 2048} {
		if testing.Short() && kind != opcuapeer.Node {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := opcuapeer.Start(t, kind, opcuapeer.Settings{Shift: 2, Host: "plc-7.invalid", Bits: bits})
			for _, test := range []struct {
				name string
				run  func(*testing.T, *opcuapeer.Server)
			}{
				{"matrix", testMatrix}, {"refusals", testRefusals}, {"own files", testOwnFiles}, {"renewal under load", testRenewalUnderLoad},
				{"refused service", testRefusedService}, {"large messages", testLargeMessages}, {"loss", testLoss},
			} {
				t.Run(test.name, func(t *testing.T) { test.run(t, s) })
			}
		})
	}
}

// trusting is a configuration that trusts a server.
func trusting(s *opcuapeer.Server, policy Policy, mode Mode) Config {
	return Config{Endpoint: s.Endpoint(), Security: Security{Policy: policy, Mode: mode}, Trust: []configfile.Path{configfile.Path(s.Certificate())}}
}

// read reads a variable of T1.
func read(ctx context.Context, c *Conn, name string) (*ua.DataValue, error) {
	space := slices.Index(c.Namespaces, opcuapeer.Namespace)
	if space < 0 {
		return nil, fmt.Errorf("no namespace among %v", c.Namespaces)
	}
	r, err := c.Read(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: ua.NewStringNodeID(uint16(space), "T1."+name)}}})
	if err != nil {
		return nil, err
	}
	return r.Results[0], nil
}

// file writes a file of a test.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every policy and mode with every kind of login.
func testMatrix(t *testing.T, s *opcuapeer.Server) {
	password := file(t, "password", []byte(opcuapeer.Password+"\n"))
	userDir := t.TempDir()
	if _, err := keptIdentity(userDir, "user", time.Now()); err != nil {
		t.Fatal(err)
	}
	keep := t.TempDir()
	logins := map[string]func(*Config){
		"nobody": func(*Config) {},
		"user": func(c *Config) {
			c.Username, c.PasswordFile = opcuapeer.User, configfile.Path(password)
		},
		"certificate": func(c *Config) {
			c.UserCert, c.UserKey = configfile.Path(filepath.Join(userDir, ownCert)), configfile.Path(filepath.Join(userDir, ownKey))
		},
	}
	for _, security := range []Security{
		{Policy: PolicyNone}, {},
		{Policy: Basic256Sha256, Mode: Sign}, {Policy: Basic256Sha256, Mode: SignAndEncrypt},
		{Policy: Aes128Sha256RsaOaep, Mode: Sign}, {Policy: Aes128Sha256RsaOaep, Mode: SignAndEncrypt},
		{Policy: Aes256Sha256RsaPss, Mode: Sign}, {Policy: Aes256Sha256RsaPss, Mode: SignAndEncrypt},
	} {
		for login, set := range logins {
			config := trusting(s, security.Policy, security.Mode)
			set(&config)
			what := fmt.Sprintf("%+v by %s", security, login)
			c, err := Dial(t.Context(), config, Options{Keep: keep})
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			if v, err := read(t.Context(), c, "Energy"); err != nil || v.Value == nil || v.Value.Value() != int64(1<<53+1) {
				t.Errorf("%s: %v, %v", what, v, err)
			}
			if c.Limits.MaxNodesPerRead == 0 || c.Limits.MaxMonitoredItemsPerCall == 0 || c.SessionTimeout <= 0 {
				t.Errorf("%s: %+v, %v", what, c.Limits, c.SessionTimeout)
			}
			c.Close(t.Context())
		}
	}
}

// What a server refuses, or is refused for, has a reason that one can act on.
func testRefusals(t *testing.T, s *opcuapeer.Server) {
	wrong := file(t, "password", []byte("wrong"))
	keep := t.TempDir()
	good := trusting(s, Basic256Sha256, SignAndEncrypt)
	for what, c := range map[string]struct {
		change func(*Config, *Options)
		reason error
		want   string
	}{
		"a wrong password": {func(c *Config, _ *Options) { c.Username, c.PasswordFile = opcuapeer.User, configfile.Path(wrong) },
			nil, `the server refuses the login of "operator"`},
		"a server that nobody trusts": {func(c *Config, _ *Options) { c.Trust = nil }, ErrUntrusted, filepath.Join(keep, "rejected") + "/"},
		"later than it is valid": {func(_ *Config, o *Options) { o.Now = func() time.Time { return time.Now().AddDate(2, 0, 0) } },
			ErrExpired, "it was valid until"},
		"before it is valid": {func(_ *Config, o *Options) { o.Now = func() time.Time { return time.Now().AddDate(0, 0, -1) } },
			ErrNotYetValid, "check the clocks"},
		"under another host's name": {func(c *Config, _ *Options) { c.Security.ServerName = "plc-8" }, ErrWrongHost, `for "localhost", "127.0.0.1", and not for plc-8`},
	} {
		config, options := good, Options{Keep: keep}
		c.change(&config, &options)
		conn, err := Dial(t.Context(), config, options)
		if err == nil {
			conn.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || c.reason != nil && !errors.Is(err, c.reason) {
			t.Errorf("%s: %v, expected %q", what, err, c.want)
		}
	}
	// The certificate that was kept is trusted once it is moved.
	kept, err := filepath.Glob(filepath.Join(keep, rejectedDir, "*.der"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if err := os.Rename(kept[0], filepath.Join(keep, trustedDir, filepath.Base(kept[0]))); err != nil {
		t.Fatal(err)
	}
	good.Trust = nil
	conn, err := Dial(t.Context(), good, Options{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
}

// A server that doesn't know our certificate says so, each in its way.
func TestServersThatDontTrustUs(t *testing.T) {
	t.Parallel()
	keep := t.TempDir()
	for kind, status := range map[opcuapeer.Kind]ua.StatusCode{
		opcuapeer.Asyncua: ua.StatusBadCertificateUntrusted, opcuapeer.Node: ua.StatusBadSecurityChecksFailed, opcuapeer.Milo: ua.StatusBadCertificateUntrusted} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := opcuapeer.Start(t, kind, opcuapeer.Settings{Strict: true})
			_, err := Dial(t.Context(), trusting(s, "", ""), Options{Keep: keep})
			if want := "it may not trust our certificate yet, " + filepath.Join(keep, ownCert); !errors.Is(err, status) || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%v, expected %v; %s", err, status, want)
			}
		})
	}
}

// A server that takes next to nothing at once says so when it is asked one by one.
func TestASmallServer(t *testing.T) {
	t.Parallel()
	s := opcuapeer.Start(t, opcuapeer.Node, opcuapeer.Settings{Limit: 3})
	c, err := Dial(t.Context(), trusting(s, PolicyNone, ""), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if l := c.Limits; l.MaxNodesPerRead != 3 || l.MaxMonitoredItemsPerCall != 3 || len(c.Namespaces) == 0 {
		t.Errorf("%+v, %v", l, c.Namespaces)
	}
}

// A server that calls itself something else than its certificate does is refused.
func TestAnotherApplicationsCertificate(t *testing.T) {
	t.Parallel()
	s := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{Cert: func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "urn", Opaque: "busbar:test:another"}}
	}})
	_, err := Dial(t.Context(), trusting(s, "", ""), Options{Keep: t.TempDir()})
	if !errors.Is(err, ErrWrongURI) || !strings.Contains(err.Error(), "urn:busbar:test:another") || !strings.Contains(err.Error(), opcuapeer.ApplicationURI) {
		t.Errorf("%v", err)
	}
}

// A key and a certificate of the user's own, in whatever form they come, and longer ones.
func testOwnFiles(t *testing.T, s *opcuapeer.Server) {
	dir := t.TempDir()
	own, err := keptIdentity(dir, "gw", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse("urn:gw:busbar")
	if err != nil {
		t.Fatal(err)
	}
	longCert := issue(t, long, &x509.Certificate{Subject: pkix.Name{CommonName: "gw"}, URIs: []*url.URL{uri}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment |
		x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, nil, nil).Raw
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own.Key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(own.Key)
	text := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for i, c := range []struct{ cert, key []byte }{
		{own.Cert, pkcs1}, {own.Cert, pkcs8}, {text("CERTIFICATE", own.Cert), text("RSA PRIVATE KEY", pkcs1)}, {text("CERTIFICATE", own.Cert), text("PRIVATE KEY", pkcs8)},
		{longCert, x509.MarshalPKCS1PrivateKey(long)},
	} {
		config := trusting(s, []Policy{Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss}[i%3], "")
		config.Security.Cert, config.Security.Key = configfile.Path(file(t, "cert", c.cert)), configfile.Path(file(t, "key", c.key))
		conn, err := Dial(t.Context(), config, Options{})
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		if v, err := read(t.Context(), conn, "Name"); err != nil || v.Value == nil {
			t.Errorf("%d: %v, %v", i, v, err)
		}
		conn.Close(t.Context())
	}
}

// Keys are renewed all the time while several goroutines read, and no read fails.
func testRenewalUnderLoad(t *testing.T, s *opcuapeer.Server) {
	keep := t.TempDir()
	for _, mode := range []Mode{Sign, SignAndEncrypt} {
		c, err := Dial(t.Context(), trusting(s, Basic256Sha256, mode), Options{Keep: keep, renew: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		begun := c.renewals()
		var reads atomic.Int64
		var readers sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if v, err := read(t.Context(), c, "Name"); err != nil || v.Value.Value() != "Transformer 1" {
						t.Errorf("%v, %v", v, err)
						return
					}
					reads.Add(1)
				}
			})
		}
		for limit := time.Now().Add(time.Minute); c.renewals() < begun+10; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) || c.Cause() != nil {
				t.Errorf("%d keys: %v", c.renewals(), c.Cause())
				break
			}
		}
		close(stop)
		readers.Wait()
		if reads.Load() < 10 {
			t.Errorf("%d reads", reads.Load())
		}
		t.Logf("%s: %d reads with %d keys", mode, reads.Load(), c.renewals())
		c.Close(t.Context())
	}
}

// renewals is how many keys the channel has had, at least.
func (c *Conn) renewals() uint32 {
	c.channel.mu.Lock()
	defer c.channel.mu.Unlock()
	return c.channel.keys
}

// A server that is killed is noticed at once, and one that is frozen by whoever asks it.
func testLoss(t *testing.T, s *opcuapeer.Server) {
	keep := t.TempDir()
	c, err := Dial(t.Context(), trusting(s, "", ""), Options{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := read(ctx, c, "Load"); !errors.Is(err, context.DeadlineExceeded) || c.Cause() != nil {
		t.Errorf("%v, %v", err, c.Cause())
	}
	if _, err := Dial(ctx, trusting(s, "", ""), Options{Keep: keep}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	s.Thaw()
	if v, err := read(t.Context(), c, "Load"); err != nil || v.Value == nil {
		t.Errorf("after it: %v, %v", v, err)
	}
	waiting := make(chan error)
	go func() {
		<-c.Lost()
		_, err := read(t.Context(), c, "Load")
		waiting <- err
	}()
	s.Kill()
	if err := <-waiting; err == nil || c.Cause() == nil {
		t.Errorf("%v, %v", err, c.Cause())
	}
	c.Close(t.Context())
	if _, err := Dial(t.Context(), trusting(s, "", ""), Options{Keep: keep}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	s.Restart(opcuapeer.Settings{})
	if c, err = Dial(t.Context(), trusting(s, "", ""), Options{Keep: keep}); err != nil {
		t.Fatal(err)
	}
	if v, err := read(t.Context(), c, "Load"); err != nil || v.Value == nil {
		t.Errorf("with another index: %v, %v", v, err)
	}
	c.Close(t.Context())
}

// A service that is refused leaves the connection as good as it was.
func testRefusedService(t *testing.T, s *opcuapeer.Server) {
	c, err := Dial(t.Context(), trusting(s, PolicyNone, ""), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	query := &ua.QueryFirstRequest{View: &ua.ViewDescription{ViewID: ua.NewTwoByteNodeID(0)}, Filter: &ua.ContentFilter{}}
	var status ua.StatusCode
	if _, err := Request[*ua.QueryFirstResponse](t.Context(), c, query); !errors.As(err, &status) {
		t.Errorf("%v", err)
	}
	if v, err := read(t.Context(), c, "Name"); err != nil || v.Value == nil {
		t.Errorf("%v, %v", v, err)
	}
}

// Messages of many chunks, both ways.
func testLargeMessages(t *testing.T, s *opcuapeer.Server) {
	keep := t.TempDir()
	for _, mode := range []Mode{Sign, SignAndEncrypt} {
		c, err := Dial(t.Context(), trusting(s, Aes256Sha256RsaPss, mode), Options{Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		request := &ua.ReadRequest{}
		name := ua.NewStringNodeID(uint16(slices.Index(c.Namespaces, opcuapeer.Namespace)), "T1.Name")
		for range 5000 {
			request.NodesToRead = append(request.NodesToRead, &ua.ReadValueID{NodeID: name})
		}
		response, err := c.Read(t.Context(), request)
		if err != nil || len(response.Results) != 5000 || response.Results[4999].Value.Value() != "Transformer 1" {
			t.Errorf("%s: %v", mode, err)
		}
		c.Close(t.Context())
	}
}
