package kafkaconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const dialTimeout = 10 * time.Second

// Options are the client options of the connection: brokers, TLS and login. dir
// is the directory that relative file names start from. Files that can't be
// read are an error now, though certificate and password are read again at each
// connection.
func (c Config) Options(dir string) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...)}
	if c.TLS != nil {
		config, err := c.TLS.config(dir)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(config), kgo.DialTimeout(dialTimeout))
	} else {
		opts = append(opts, kgo.Dialer(c.dialPlaintext))
	}
	if c.SASL != nil {
		mechanism, err := c.SASL.mechanism(dir)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// errPlaintext guards every dial, because a broker on this machine may name
// others that aren't.
var errPlaintext = errors.New("plaintext to a broker that isn't on this machine is refused; use tls, or insecure: true")

func (c Config) dialPlaintext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !c.mayDial(host) {
		return nil, fmt.Errorf("dial %s: %w", address, errPlaintext)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	return dialer.DialContext(ctx, network, address)
}

func (t TLS) config(dir string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		file := t.CA.In(dir)
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the CA: %s holds no certificate in PEM", file)
		}
	}
	if t.Cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Cert.In(dir), t.Key.In(dir))
			if err != nil {
				return nil, fmt.Errorf("load the client certificate: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

func (s SASL) mechanism(dir string) (sasl.Mechanism, error) {
	if _, err := s.password(dir); err != nil {
		return nil, err
	}
	scramAuth := func(context.Context) (scram.Auth, error) {
		password, err := s.password(dir)
		return scram.Auth{User: s.Username, Pass: password}, err
	}
	switch s.Mechanism {
	case ScramSHA256:
		return scram.Sha256(scramAuth), nil
	case ScramSHA512:
		return scram.Sha512(scramAuth), nil
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password(dir)
			return plain.Auth{User: s.Username, Pass: password}, err
		}), nil
	}
	return nil, fmt.Errorf("unknown SASL mechanism %q", s.Mechanism)
}

func (s SASL) password(dir string) (string, error) {
	content, err := os.ReadFile(s.PasswordFile.In(dir))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if password == "" {
		return "", fmt.Errorf("read the password: %s is empty", s.PasswordFile.In(dir))
	}
	return password, nil
}
