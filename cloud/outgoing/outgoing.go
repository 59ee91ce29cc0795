// Package outgoing reaches the servers that the cloud's configuration names, as it says
// and no other way.
package outgoing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Server is how a server is reached and who it is asked as.
type Server struct {
	URL string
	// CA is a file of certificate authorities in PEM; "": those of the operating system.
	CA string
	// TokenFile is a file with a bearer token; "": none is sent. It is read each time.
	TokenFile string
}

// Name is the URL without its query, which may hold what isn't for everybody.
func (s Server) Name() string {
	name, _, _ := strings.Cut(s.URL, "?")
	return name
}

// CheckURL says what is wrong with the URL of a server. Without TLS only this machine is
// spoken to, unless insecure says otherwise.
func CheckURL(text string, insecure bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("no URL such as https://desk.example/alarms")
	case u.User != nil:
		return errors.New("a password never stands in a configuration, expected a URL without one")
	case u.Fragment != "":
		return errors.New("has a fragment, which is never sent")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && !insecure && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("sends in the clear to another machine, expected https, or insecure: true beside it")
	}
	return nil
}

const (
	answerTime = 30 * time.Second // for all of a request
	excerpt    = 200              // bytes of an answer that are kept
	longestAsk = time.Hour        // that a Retry-After is honoured for
)

// Client speaks TLS that is verified, to the configured host alone: it goes through no
// proxy that the environment names and follows no redirects.
func (s Server) Client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New(s.CA + " has no certificates in PEM")
		}
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		Timeout:       answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
	}, nil
}

// Failure is a delivery that didn't succeed.
type Failure struct {
	Err   error
	Code  int           // of the answer; 0: there is none
	Final bool          // the server will never take it
	After time.Duration // that the server asks to wait for; 0: it doesn't say
}

func (f *Failure) Error() string { return f.Err.Error() }

// Post sends a body and returns a *Failure if the server doesn't take it.
func (s Server) Post(ctx context.Context, client *http.Client, header http.Header, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return &Failure{Err: err}
	}
	request.Header = header.Clone()
	request.Header.Set("User-Agent", "busbar-cloud")
	if s.TokenFile != "" {
		token, err := os.ReadFile(s.TokenFile)
		if err != nil {
			return &Failure{Err: err}
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	answer, err := client.Do(request)
	if err != nil {
		var by *url.Error // which tells the whole URL
		if errors.As(err, &by) {
			err = fmt.Errorf("%s: %w", request.URL.Host, by.Err)
		}
		return &Failure{Err: err}
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, excerpt))
	if answer.StatusCode/100 == 2 {
		return nil
	}
	f := &Failure{Err: fmt.Errorf("%s answers %s %q", request.URL.Host, answer.Status, text), Code: answer.StatusCode, After: retryAfter(answer.Header, time.Now())}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
	default:
		f.Final = answer.StatusCode/100 == 4
	}
	return f
}

// retryAfter is what an answer asks to wait for, in either of its forms.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, longestAsk)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longestAsk)
	}
	return 0
}

// Backoff is how long is waited before a delivery is tried again: First, and twice as long
// each time, up to Most.
type Backoff struct{ First, Most time.Duration }

// Ordinary is for whatever has no reason for another one.
var Ordinary = Backoff{time.Second, 5 * time.Minute}

// Wait is how long to wait before the n-th new attempt, from 0 on: up to a quarter less
// than that, so that servers that failed at once aren't tried again at once, but no less
// than the server asks for.
func (b Backoff) Wait(n int, cause error) time.Duration {
	d := b.Most
	if n < 30 {
		d = min(b.First<<n, b.Most)
	}
	d = d*3/4 + rand.N(d/4+1)
	var f *Failure
	if errors.As(cause, &f) {
		d = max(d, f.After)
	}
	return d
}

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
