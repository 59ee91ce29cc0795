package kafkaconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Check asks the brokers for an answer, one after another until one gives it,
// and says in plain words why the last did not. ctx bounds how long it waits.
// The client may be used on whatever comes out: it keeps trying by itself.
func Check(ctx context.Context, client *kgo.Client) error {
	err := within(ctx, func() error { return client.Ping(ctx) })
	if err == nil {
		return nil
	}
	return named(err, client)
}

// within returns when ask does, or when ctx ends: a request alone outlasts its
// context while the client negotiates with a mute broker.
func within(ctx context.Context, ask func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- ask() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// named puts the cause of err before it.
func named(err error, client *kgo.Client) error {
	_, login := client.OptValue(kgo.SASL).([]sasl.Mechanism)
	encryption, _ := client.OptValue(kgo.DialTLSConfig).(*tls.Config)
	return fmt.Errorf("kafka: %s: %w", cause(err, login, encryption), err)
}

func cause(err error, login bool, encryption *tls.Config) string {
	var (
		unknownCA   x509.UnknownAuthorityError
		wrongName   x509.HostnameError
		invalid     x509.CertificateInvalidError
		notTLS      tls.RecordHeaderError
		noSuchHost  *net.DNSError
		brokerError *kerr.Error
	)
	text := err.Error()
	switch {
	case errors.Is(err, errProxy):
		return "the proxy gives no connection"
	case errors.Is(err, errPlaintext):
		return "the broker gives an address on another machine"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "the broker refuses the user name or password"
	case errors.Is(err, kerr.UnsupportedSaslMechanism), strings.Contains(text, "sasl mechanism"):
		return "the broker doesn't offer this SASL mechanism"
	case errors.As(err, &unknownCA):
		return "the broker's certificate comes from another CA than the one configured"
	case errors.As(err, &wrongName):
		return "the broker's certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the broker's certificate has expired or isn't valid yet by this machine's clock"
	case errors.As(err, &notTLS):
		return "the broker doesn't speak TLS on this port"
	case strings.Contains(text, "plaintext connection speaking to a tls endpoint"), strings.Contains(text, "is TLS missing?"):
		return "the broker expects TLS on this port"
	case strings.Contains(text, "is SASL missing?"):
		return "the broker expects a login"
	case strings.Contains(text, "remote error: tls:") && encryption != nil && encryption.GetClientCertificate == nil:
		return "the broker asks for a client certificate"
	case strings.Contains(text, "remote error: tls:"):
		return "the broker refuses this client's certificate"
	case strings.Contains(text, "is TLS misconfigured"):
		return "the broker closes the connection at once; it may not speak TLS on this port"
	case errors.Is(err, io.EOF) && login:
		return "the broker closes the connection at login; the user name or password may be wrong"
	case errors.As(err, &noSuchHost):
		return "the broker's host name isn't known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the broker's address"
	case errors.As(err, &brokerError):
		return "the broker refuses"
	case timeout(err) && encryption != nil:
		return "no broker answers in time; it may not speak TLS on this port"
	case timeout(err):
		return "no broker answers in time"
	}
	return "no broker can be reached"
}

func timeout(err error) bool {
	var net net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &net) && net.Timeout()
}
