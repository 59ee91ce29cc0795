package object

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/kafkaconn"
)

// S3Config says where a bucket is and whose it is.
type S3Config struct {
	Endpoint, Region, Bucket, Prefix string
	PathStyle, Insecure              bool
	AccessKeyFile, SecretKeyFile, CA string // file names; CA may be ""
}

// Check says what is wrong with the endpoint.
func (c S3Config) Check() error {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return fmt.Errorf("%q, expected https://host or https://host:port", c.Endpoint)
	case u.Scheme == "http" && !c.Insecure && !kafkaconn.ThisMachine(u.Hostname()):
		return fmt.Errorf("%q isn't encrypted and on another machine, expected https, or insecure: true", c.Endpoint)
	}
	return nil
}

// S3 is a Store in a bucket. Its server must know conditional writes (If-None-Match: *), as
// Amazon's does: they are what commits are made of.
type S3 struct {
	config S3Config
	base   url.URL
	host   http.Client
	now    func() time.Time
}

const (
	tries        = 4
	firstPause   = 200 * time.Millisecond
	mostAnswer   = 1 << 30  // bytes that are read
	mostRefusal  = 64 << 10 // of an answer that is no success
	emptySHA256  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	signedFormat = "20060102T150405Z"
)

// OpenS3 doesn't ask the server for anything. The files are read at each request.
func OpenS3(c S3Config) (*S3, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("lake: s3: %w", err)
	}
	u, _ := url.Parse(c.Endpoint)
	s := &S3{config: c, base: url.URL{Scheme: u.Scheme, Host: u.Host}, now: time.Now}
	s.config.Prefix = strings.Trim(c.Prefix, "/")
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 90 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("lake: s3: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("lake: s3: %s holds no certificate", c.CA)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	s.host.Transport = transport
	// What is signed is for this server alone.
	s.host.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s, nil
}

func (s *S3) key(name string) string {
	return strings.Trim(s.config.Prefix+"/"+name, "/")
}

func (s *S3) URL(name string) string {
	return "s3://" + strings.Trim(s.config.Bucket+"/"+s.key(name), "/")
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

func (e statusError) Error() string { return fmt.Sprintf("the server says %d: %.300s", e.code, e.text) }

// do sends a request, again if the server or the way to it fails, and returns what it answers.
func (s *S3) do(ctx context.Context, method, key string, query url.Values, headers map[string]string, body io.ReaderAt, size int64) ([]byte, error) {
	sum := emptySHA256
	if body != nil {
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(body, 0, size)); err != nil {
			return nil, err
		}
		sum = hex.EncodeToString(h.Sum(nil))
	}
	var err error
	for try, pause := 0, firstPause; try < tries; try, pause = try+1, 2*pause {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, err
			case <-time.After(pause):
			}
		}
		var answer []byte
		answer, err = s.send(ctx, method, key, query, headers, body, size, sum)
		var status statusError
		if err == nil || ctx.Err() != nil || errors.As(err, &status) && status.code < 500 && status.code != http.StatusTooManyRequests && status.code != http.StatusConflict {
			return answer, err
		}
	}
	return nil, err
}

func (s *S3) send(ctx context.Context, method, key string, query url.Values, headers map[string]string, body io.ReaderAt, size int64, sum string) ([]byte, error) {
	u := s.base
	path := "/" + key
	if s.config.PathStyle {
		path = "/" + s.config.Bucket + path
	} else {
		u.Host = s.config.Bucket + "." + u.Host
	}
	u.Path, u.RawPath = path, escape(path, true)
	u.RawQuery = canonicalQuery(query)
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		// One of its own: the try before may still be reading.
		r.Body, r.ContentLength = io.NopCloser(io.NewSectionReader(body, 0, size)), size
		if size == 0 {
			r.Body = http.NoBody
		}
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	access, err := kafkaconn.ReadPassword(s.config.AccessKeyFile)
	if err != nil {
		return nil, err
	}
	secret, err := kafkaconn.ReadPassword(s.config.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	sign(r, access, secret, s.config.Region, sum, s.now().UTC())
	answer, err := s.host.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, mostRefusal))
		return nil, statusError{answer.StatusCode, strings.TrimSpace(string(text))}
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer+1))
	if err == nil && len(text) > mostAnswer {
		err = fmt.Errorf("the server's answer is longer than %d bytes", mostAnswer)
	}
	return text, err
}

// escape is the percent-encoding that signatures are made over.
func escape(s string, slashes bool) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 || slashes && c == '/' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func canonicalQuery(query url.Values) string {
	var parts []string
	for key, values := range query {
		for _, value := range values {
			parts = append(parts, escape(key, false)+"="+escape(value, false))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// sign adds AWS Signature Version 4.
func sign(r *http.Request, access, secret, region, sum string, now time.Time) {
	at := now.Format(signedFormat)
	r.Header.Set("X-Amz-Date", at)
	r.Header.Set("X-Amz-Content-Sha256", sum)
	names := []string{"host"}
	for name := range r.Header {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, name := range names {
		value := r.URL.Host
		if name != "host" {
			value = strings.TrimSpace(r.Header.Get(name))
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	signed := strings.Join(names, ";")
	request := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, headers.String(), signed, sum}, "\n")
	hash := sha256.Sum256([]byte(request))
	scope := strings.Join([]string{at[:8], region, "s3", "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", at, scope, hex.EncodeToString(hash[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{at[:8], region, "s3", "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%x", access, scope, signed, key))
}

func (s *S3) Put(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	_, err := s.do(ctx, http.MethodPut, s.key(name), nil, nil, r, size)
	return explain("write", name, err)
}

func (s *S3) Create(ctx context.Context, name string, data []byte) error {
	_, err := s.do(ctx, http.MethodPut, s.key(name), nil, map[string]string{"If-None-Match": "*"}, bytes.NewReader(data), int64(len(data)))
	var status statusError
	if errors.As(err, &status) && status.code == http.StatusPreconditionFailed {
		err = ErrExists
	}
	return explain("create", name, err)
}

func (s *S3) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := s.do(ctx, http.MethodGet, s.key(name), nil, nil, nil, 0)
	var status statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		err = ErrNotExist
	}
	return data, explain("read", name, err)
}

func (s *S3) List(ctx context.Context, prefix string) (names []string, err error) {
	under := ""
	if s.config.Prefix != "" {
		under = s.config.Prefix + "/"
	}
	query := url.Values{"list-type": {"2"}, "prefix": {under + prefix}}
	for {
		text, err := s.do(ctx, http.MethodGet, "", query, nil, nil, 0)
		if err != nil {
			return nil, explain("list", prefix, err)
		}
		var page struct {
			Contents  []struct{ Key string }
			Truncated bool   `xml:"IsTruncated"`
			Next      string `xml:"NextContinuationToken"`
		}
		if err := xml.Unmarshal(text, &page); err != nil {
			return nil, explain("list", prefix, err)
		}
		for _, c := range page.Contents {
			names = append(names, strings.TrimPrefix(c.Key, under))
		}
		if !page.Truncated || page.Next == "" {
			return names, nil
		}
		query.Set("continuation-token", page.Next)
	}
}

func (s *S3) Delete(ctx context.Context, name string) error {
	_, err := s.do(ctx, http.MethodDelete, s.key(name), nil, nil, nil, 0)
	var status statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		err = nil
	}
	return explain("delete", name, err)
}
