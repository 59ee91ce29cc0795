package kafkaconn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
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

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/configfile"
)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newAuthority(name string) authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der := must(x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key))
	return authority{must(x509.ParseCertificate(der)), key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue signs t for a new key, which is given in PKCS #8 or PKCS #1.
func (a authority) issue(t *x509.Certificate, pkcs1 bool) (cert, key []byte) {
	k := must(rsa.GenerateKey(rand.Reader, 2048))
	der := must(x509.CreateCertificate(rand.Reader, t, a.cert, &k.PublicKey, a.key))
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}
	if !pkcs1 {
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(block)
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func broker(t *testing.T, opts ...kfake.Opt) string {
	t.Helper()
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// refusingBroker answers a login as Kafka does: with an error, not by closing
// the connection.
func refusingBroker(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "gw", "s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	return cluster.ListenAddrs()[0]
}

func connect(t *testing.T, c Config, dir string) error {
	t.Helper()
	opts, err := c.Options(dir)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return Check(ctx, client)
}

// pki is a directory with a CA, a broker's certificate and clients' files.
func pki(t *testing.T) (dir string, ours authority, server *tls.Config) {
	dir, ours = t.TempDir(), newAuthority("ours")
	write(t, dir, "ca.crt", ours.pem())
	write(t, dir, "other-ca.crt", newAuthority("theirs").pem())
	t1 := template("broker")
	t1.IPAddresses, t1.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"kafka.example"}
	cert, key := ours.issue(t1, false)
	server = &tls.Config{Certificates: []tls.Certificate{must(tls.X509KeyPair(cert, key))}, ClientCAs: x509.NewCertPool()}
	server.ClientCAs.AddCert(ours.cert)
	for name, pkcs1 := range map[string]bool{"pkcs1": true, "pkcs8": false} {
		cert, key := ours.issue(template("gw"), pkcs1)
		write(t, dir, name+".crt", cert)
		write(t, dir, name+".key", key)
	}
	cert, key = newAuthority("theirs").issue(template("gw"), false)
	write(t, dir, "stranger.crt", cert)
	write(t, dir, "stranger.key", key)
	for name, password := range map[string]string{"right": "s3cret\n", "crlf": "s3cret\r\n", "wrong": "guess", "empty": "\n"} {
		write(t, dir, name, []byte(password))
	}
	return dir, ours, server
}

func TestConnections(t *testing.T) {
	dir, ours, server := pki(t)
	mutual := server.Clone()
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	misnamed := server.Clone()
	t2 := template("broker")
	t2.DNSNames = []string{"elsewhere.example"}
	misnamed.Certificates = []tls.Certificate{must(tls.X509KeyPair(ours.issue(t2, false)))}
	expired := server.Clone()
	t3 := template("broker")
	t3.IPAddresses, t3.NotAfter = []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(-time.Minute)
	expired.Certificates = []tls.Certificate{must(tls.X509KeyPair(ours.issue(t3, false)))}

	plain := broker(t)
	secure := broker(t, kfake.TLS(server))
	clientCert := broker(t, kfake.TLS(mutual))
	login := broker(t, kfake.TLS(server), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", "gw", "s3cret"), kfake.Superuser("SCRAM-SHA-512", "gw", "s3cret"), kfake.Superuser("PLAIN", "gw", "s3cret"))

	refusing := refusingBroker(t)

	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	nobody := listener.Addr().String()
	listener.Close()
	mute := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { mute.Close() })

	greeter := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { greeter.Close() })
	go func() {
		for {
			conn, err := greeter.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("220 ready\r\n"))
		}
	}()

	ca := &TLS{CA: "ca.crt"}
	user := func(m Mechanism, password configfile.Path) *SASL { return &SASL{m, "gw", password} }
	for name, c := range map[string]struct {
		config Config
		want   string // how the error begins, after "kafka: "; "" for none
	}{
		"plaintext":                   {Config{Brokers: []string{plain}}, ""},
		"second broker of the list":   {Config{Brokers: []string{nobody, plain}}, ""},
		"TLS":                         {Config{Brokers: []string{secure}, TLS: ca}, ""},
		"server name":                 {Config{Brokers: []string{secure}, TLS: &TLS{CA: "ca.crt", ServerName: "kafka.example"}}, ""},
		"client certificate, PKCS #8": {Config{Brokers: []string{clientCert}, TLS: &TLS{CA: "ca.crt", Cert: "pkcs8.crt", Key: "pkcs8.key"}}, ""},
		"client certificate, PKCS #1": {Config{Brokers: []string{clientCert}, TLS: &TLS{CA: "ca.crt", Cert: "pkcs1.crt", Key: "pkcs1.key"}}, ""},
		"SCRAM-SHA-256":               {Config{Brokers: []string{login}, TLS: ca, SASL: user(ScramSHA256, "right")}, ""},
		"SCRAM-SHA-512":               {Config{Brokers: []string{login}, TLS: ca, SASL: user(ScramSHA512, "crlf")}, ""},
		"PLAIN":                       {Config{Brokers: []string{login}, TLS: ca, SASL: user(Plain, "right")}, ""},
		"wrong password":              {Config{Brokers: []string{refusing}, SASL: user(Plain, "wrong")}, "the broker refuses the user name or password"},
		"closed at login, SCRAM":      {Config{Brokers: []string{login}, TLS: ca, SASL: user(ScramSHA512, "wrong")}, "the broker closes the connection at login"},
		"closed at login, PLAIN":      {Config{Brokers: []string{login}, TLS: ca, SASL: user(Plain, "wrong")}, "the broker closes the connection at login"},
		"no login":                    {Config{Brokers: []string{login}, TLS: ca}, "the broker expects a login"},
		"wrong CA":                    {Config{Brokers: []string{secure}, TLS: &TLS{CA: "other-ca.crt"}}, "the broker's certificate comes from another CA"},
		"wrong name":                  {Config{Brokers: []string{broker(t, kfake.TLS(misnamed))}, TLS: ca}, "the broker's certificate is for another name"},
		"wrong server name":           {Config{Brokers: []string{secure}, TLS: &TLS{CA: "ca.crt", ServerName: "kafka2.example"}}, "the broker's certificate is for another name"},
		"expired":                     {Config{Brokers: []string{broker(t, kfake.TLS(expired))}, TLS: ca}, "the broker's certificate has expired"},
		"no client certificate":       {Config{Brokers: []string{clientCert}, TLS: ca}, "the broker asks for a client certificate"},
		"a stranger's certificate":    {Config{Brokers: []string{clientCert}, TLS: &TLS{CA: "ca.crt", Cert: "stranger.crt", Key: "stranger.key"}}, "the broker refuses this client's certificate"},
		"plaintext to TLS":            {Config{Brokers: []string{secure}}, "the broker expects TLS on this port"},
		"nobody listens":              {Config{Brokers: []string{nobody}}, "nothing listens at the broker's address"},
		"no such host":                {Config{Brokers: []string{"kafka.invalid:9092"}, Insecure: true}, "the broker's host name isn't known"},
		"no answer":                   {Config{Brokers: []string{mute.Addr().String()}}, "no broker answers in time"},
		"not this machine":            {Config{Brokers: []string{"192.0.2.1:9092"}}, "the broker gives an address on another machine"},
		"TLS to plaintext":            {Config{Brokers: []string{plain}, TLS: ca}, "no broker answers in time; it may not speak TLS on this port"},
		"TLS to something else":       {Config{Brokers: []string{greeter.Addr().String()}, TLS: ca}, "the broker doesn't speak TLS on this port"},
		"missing CA":                  {Config{Brokers: []string{secure}, TLS: &TLS{CA: "none.crt"}}, "read the CA: open " + dir + "/none.crt"},
		"CA is no certificate":        {Config{Brokers: []string{secure}, TLS: &TLS{CA: "right"}}, "read the CA: " + dir + "/right holds no certificate"},
		"key of another certificate":  {Config{Brokers: []string{secure}, TLS: &TLS{Cert: "pkcs1.crt", Key: "pkcs8.key"}}, "load the client certificate: tls: private key does not match"},
		"missing password file":       {Config{Brokers: []string{login}, TLS: ca, SASL: user(Plain, "none")}, "read the password: open " + dir + "/none"},
		"empty password file":         {Config{Brokers: []string{login}, TLS: ca, SASL: user(Plain, "empty")}, "read the password: " + dir + "/empty is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := connect(t, c.config, dir)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "kafka: "+c.want)):
				t.Errorf("got %v, want kafka: %s…", err, c.want)
			}
		})
	}
}

// A password that is changed in its file works at the next connection.
func TestPasswordIsReadAtEachConnection(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "password", []byte("old"))
	address := broker(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "gw", "new"))
	c := Config{Brokers: []string{address}, SASL: &SASL{Plain, "gw", "password"}}
	opts, err := c.Options(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := Check(t.Context(), client); err == nil {
		t.Fatal("the old password works")
	}
	write(t, dir, "password", []byte("new"))
	if err := Check(t.Context(), client); err != nil {
		t.Error(err)
	}
}
