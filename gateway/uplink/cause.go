package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"
)

// ErrNotYetValid says that the uplink's certificate is younger than the clock: one of
// the two is wrong.
var ErrNotYetValid = errors.New("the uplink's certificate isn't valid yet by this machine's clock")

// cause says in plain words why a request came to nothing.
func cause(err error) string {
	var (
		unknownCA  x509.UnknownAuthorityError
		wrongName  x509.HostnameError
		invalid    x509.CertificateInvalidError
		notTLS     tls.RecordHeaderError
		noSuchHost *net.DNSError
		timeout    net.Error
	)
	switch {
	case strings.Contains(err.Error(), "proxyconnect"), strings.Contains(err.Error(), "Proxy Authentication Required"):
		return "the proxy gives no connection"
	case errors.As(err, &unknownCA):
		return "the uplink's certificate comes from another CA than the one configured"
	case errors.As(err, &wrongName):
		return "the uplink's certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && strings.Contains(invalid.Detail, "is before"):
		return ErrNotYetValid.Error()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the uplink's certificate has expired by this machine's clock"
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "gave HTTP response to HTTPS client"):
		return "what listens there doesn't speak TLS"
	case errors.As(err, &noSuchHost):
		return "the uplink's host name isn't known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the uplink's address"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the uplink doesn't answer in time"
	}
	return "the uplink can't be reached"
}
