package kafkaconn

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
)

// Proxy is an HTTP proxy that connections go through, by its CONNECT method
// (RFC 9110, section 9.3.6). What is sent through it stays encrypted to the far
// end; the proxy sees host names, ports and the amount.
type Proxy struct {
	// The proxy, as http://host:port or https://host:port.
	// Example: http://proxy.example:3128.
	URL string `yaml:"url,required"`

	// The name to log in with at the proxy, if it asks for one.
	Username string `yaml:"username"`

	// The file that holds the password for it. It is read at each connection.
	// Example: proxy.password.
	PasswordFile configfile.Path `yaml:"password_file"`
}

// ExplainKey refuses a password that stands in the configuration itself.
func (Proxy) ExplainKey(key string) string { return SASL{}.ExplainKey(key) }

// Validate adds to f what is wrong with the proxy that stands at path in it.
func (p Proxy) Validate(f *configfile.File, path string) {
	if u, err := url.Parse(p.URL); p.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		*u != (url.URL{Scheme: u.Scheme, Host: u.Host})) {
		f.Errorf(configfile.Join(path, "url"), "%q is no proxy, expected http://host:port", p.URL)
	}
	if (p.Username == "") != (p.PasswordFile == "") && !f.Broken(path) {
		f.Errorf(path, "username and password_file belong together, expected both or neither")
	}
}

// Address is the proxy as net/http takes it. dir is the directory that relative
// file names start from.
func (p Proxy) Address(dir string) (*url.URL, error) {
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if p.Username == "" {
		return u, nil
	}
	password, err := ReadPassword(p.PasswordFile.In(dir))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	u.User = url.UserPassword(p.Username, password)
	return u, nil
}

// errProxy is what a connection through a proxy fails with because of the proxy.
var errProxy = errors.New("proxy")

// dial connects to address through the proxy.
func (p Proxy) dial(ctx context.Context, dir, address string) (net.Conn, error) {
	proxy, err := p.Address(dir)
	if err != nil {
		return nil, err
	}
	conn, err := dialProxy(ctx, proxy)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errProxy, proxy.Host, err)
	}
	// An answer that doesn't come must not outlast the dial.
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(dialTimeout)
	}
	conn.SetDeadline(deadline)
	tunnel, err := openTunnel(conn, proxy, address)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w %s: connect to %s: %w", errProxy, proxy.Host, address, err)
	}
	conn.SetDeadline(time.Time{})
	return tunnel, nil
}

func dialProxy(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	address := net.JoinHostPort(proxy.Hostname(), port)
	dialer := net.Dialer{Timeout: dialTimeout}
	if proxy.Scheme == "https" {
		encrypted := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{MinVersion: tls.VersionTLS12}}
		return encrypted.DialContext(ctx, "tcp", address)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

func openTunnel(conn net.Conn, proxy *url.URL, address string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", response.Status)
	}
	// In TLS as in Kafka's protocol the client speaks first: bytes that are there
	// already come from something else.
	if reader.Buffered() > 0 {
		return nil, errors.New("it sends bytes before the far end can")
	}
	return conn, nil
}

// ReadPassword is what a file holds; a line break at its end doesn't count.
func ReadPassword(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if password == "" {
		return "", fmt.Errorf("read the password: %s is empty", file)
	}
	return password, nil
}
