package cloud

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
)

// renewed is a certificate whose files may be replaced at any time, one after the other.
type renewed struct {
	whose     string
	cert, key string
	log       *slog.Logger
	current   atomic.Pointer[tls.Certificate] // the last that could be loaded

	mu     sync.Mutex
	failed string // why the files can't be; empty: they can
}

// loadRenewed loads it. Whose it is is for the log.
func loadRenewed(whose, cert, key string, log *slog.Logger) (*renewed, error) {
	r := &renewed{whose: whose, cert: cert, key: key, log: log}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	return r, nil
}

func (r *renewed) load() error {
	pair, err := tls.LoadX509KeyPair(r.cert, r.key)
	if err == nil {
		r.current.Store(&pair)
	}
	return err
}

// get is tls.Config's GetCertificate. While the files can't be loaded it is what they were.
func (r *renewed) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	var why string
	if err := r.load(); err != nil {
		why = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if why != r.failed && why != "" {
		r.log.Warn("a certificate can't be renewed; the one from before is used", "of", r.whose, "error", why)
	}
	r.failed = why
	return r.current.Load(), nil
}
