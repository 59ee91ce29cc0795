package kafkaconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
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
func (c Config) Options(dir string) ([]kgo.Opt, error) { return c.OptionsAt(dir, nil) }

// OptionsAt is Options for a machine whose clock may be wrong: now is what the
// brokers' certificates have to be valid at; nil: the machine's clock.
func (c Config) OptionsAt(dir string, now func() time.Time) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.WithHooks(idle{})}
	dial := dialer((&net.Dialer{Timeout: dialTimeout}).DialContext)
	if c.Proxy != nil {
		if _, err := c.Proxy.Address(dir); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		dial = func(ctx context.Context, _, address string) (net.Conn, error) { return c.Proxy.dial(ctx, dir, address) }
	}
	switch {
	case c.TLS == nil:
		opts = append(opts, kgo.Dialer(c.plaintext(dial)))
	default:
		config, err := c.TLS.Config(dir)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		config.Time = now
		if c.Proxy == nil {
			opts = append(opts, kgo.DialTLSConfig(config), kgo.DialTimeout(dialTimeout))
		} else {
			opts = append(opts, kgo.Dialer(encrypted(dial, config)))
		}
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

// KeepAlive is how a connection of ours that isn't used asks whether its other end
// is there. Each time costs a hundred bytes: every 15 s, as Go does it, that is
// half a megabyte a day for each connection. What is sent finds out by itself.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 15 * time.Second, Count: 4}

// idle gives a client's connections KeepAlive.
type idle struct{}

func (idle) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, conn net.Conn, _ error) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	if c, ok := conn.(*net.TCPConn); ok {
		c.SetKeepAliveConfig(KeepAlive)
	}
}

// errPlaintext guards every dial, because a broker on this machine may name
// others that aren't.
var errPlaintext = errors.New("plaintext to a broker that isn't on this machine is refused; use tls, or insecure: true")

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func (c Config) plaintext(dial dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if !c.mayDial(host) {
			return nil, fmt.Errorf("dial %s: %w", address, errPlaintext)
		}
		return dial(ctx, network, address)
	}
}

func encrypted(dial dialer, config *tls.Config) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		if own.ServerName == "" {
			if own.ServerName, _, err = net.SplitHostPort(address); err != nil {
				conn.Close()
				return nil, err
			}
		}
		client := tls.Client(conn, own)
		if err := client.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return client, nil
	}
}

// Config is what a connection is encrypted by. Files are read now, so that one that
// can't be is an error; certificate and key are read again at each connection.
func (t TLS) Config(dir string) (*tls.Config, error) {
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

func (s SASL) password(dir string) (string, error) { return ReadPassword(s.PasswordFile.In(dir)) }
