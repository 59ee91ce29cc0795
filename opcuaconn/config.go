// Package opcuaconn is how Busbar connects to an OPC UA server: the part of a
// configuration that describes it, certificates and whom they are trusted from, and a
// secure channel with an activated session that ends with an error whatever the server
// does.
//
// Structures and their encoding, and the algorithms of the security policies, are
// gopcua's (packages ua and uapolicy). Channel and session are our own: gopcua's ends a
// connection at each refused request once it doesn't reconnect by itself, renews its
// channel in a race with requests that are being sent, reads a closed connection in a
// loop without end, and its decoder's panics happen where nobody can catch them.
package opcuaconn

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
)

// Config describes the connection to an OPC UA server. Files are relative to the
// directory of the configuration that names them.
type Config struct {
	// The server, as opc.tcp://host:port, with the path that the server's manual gives
	// if there is one. The port is 4840 if it is left out.
	// Example: opc.tcp://10.0.0.30:4840.
	Endpoint string `yaml:"endpoint,required"`

	// How what is sent is protected. Default: {policy: Basic256Sha256, mode:
	// SignAndEncrypt}, with a certificate of its own that the gateway makes and keeps.
	Security Security `yaml:"security"`

	// The certificates that the server's one must be or come from: files, and
	// directories whose files all count, in PEM or DER. Default: the directory trusted
	// beside the gateway's own certificate. Example: [monitor.der].
	Trust []configfile.Path `yaml:"trust"`

	// The name to log in with. Needs password_file. Default: no login.
	// Example: busbar.
	Username string `yaml:"username"`

	// The file that holds the password; a line break at its end doesn't count.
	// It is read at each connection, so a changed password needs no restart.
	// Example: opcua.password.
	PasswordFile configfile.Path `yaml:"password_file"`

	// The certificate to log in with, instead of a name. Needs user_key.
	// Example: user.der.
	UserCert configfile.Path `yaml:"user_cert"`

	// The private key of user_cert, in PKCS #8 or PKCS #1. Example: user.key.
	UserKey configfile.Path `yaml:"user_key"`

	// Accepts the policy None with a server on another machine, and a password that the
	// server wants unencrypted: everybody on the way can then read and change what is
	// sent, passwords included. Default: false.
	Insecure bool `yaml:"insecure"`
}

// Security is how what is sent is protected.
type Security struct {
	// The security policy, as the server names it: Basic256Sha256,
	// Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss, or None, which is accepted on this
	// machine only. Default: Basic256Sha256.
	Policy Policy `yaml:"policy"`

	// SignAndEncrypt, or Sign, with which everybody on the way can read what is sent.
	// Default: SignAndEncrypt; None with the policy None.
	Mode Mode `yaml:"mode"`

	// The gateway's own certificate, in PEM or DER, with its application URI among the
	// subject alternative names. Needs key. Default: one that the gateway makes at the
	// first connection and keeps. Example: gw.crt.
	Cert configfile.Path `yaml:"cert"`

	// The private key of cert, RSA, in PKCS #8 or PKCS #1. Example: gw.key.
	Key configfile.Path `yaml:"key"`

	// The host name or address that the server's certificate must be for, if it isn't
	// the host of the endpoint. Example: plc-7.
	ServerName string `yaml:"server_name"`
}

// Policy is a security policy by its short name (OPC 10000-7).
type Policy string

// The security policies that are in use. The older ones, Basic128Rsa15 and Basic256, are
// broken.
const (
	PolicyNone          Policy = "None"
	Basic256Sha256      Policy = "Basic256Sha256"
	Aes128Sha256RsaOaep Policy = "Aes128_Sha256_RsaOaep"
	Aes256Sha256RsaPss  Policy = "Aes256_Sha256_RsaPss"
	policyURI                  = "http://opcfoundation.org/UA/SecurityPolicy#"
	defaultPort                = "4840"
	longestName                = 128 // in bytes
	longestEndpoint            = 1024
)

// URI is the policy as the protocol names it.
func (p Policy) URI() string { return policyURI + string(p) }

// Mode is how messages are protected (OPC 10000-4, 7.20).
type Mode string

const (
	ModeNone       Mode = "None"
	Sign           Mode = "Sign"
	SignAndEncrypt Mode = "SignAndEncrypt"
)

// withDefaults is the security with what was left out.
func (s Security) withDefaults() Security {
	if s.Policy == "" {
		s.Policy = Basic256Sha256
	}
	switch {
	case s.Mode != "":
	case s.Policy == PolicyNone:
		s.Mode = ModeNone
	default:
		s.Mode = SignAndEncrypt
	}
	return s
}

// ExplainKey refuses a password that stands in the configuration itself.
func (Config) ExplainKey(key string) string {
	if key == "password" {
		return "a password never stands in a configuration; put it in a file and name it with password_file"
	}
	return ""
}

// Validate adds to f what is wrong with the values of the configuration that stands at
// path in it.
func (c Config) Validate(f *configfile.File, path string) {
	at := func(key string) string { return configfile.Join(path, key) }
	in := func(key string) string { return configfile.Join(at("security"), key) }
	s := c.Security.withDefaults()
	u, err := c.address()
	switch {
	case f.Broken(at("endpoint")) || c.Endpoint == "" && !f.Has(at("endpoint")):
	case err != nil:
		f.Errorf(at("endpoint"), "%q is no endpoint, expected opc.tcp://host:port, with a path if the server has one", c.Endpoint)
	case s.Policy == PolicyNone && !c.Insecure && !kafkaconn.ThisMachine(u.Hostname()) && !f.Broken(at("insecure")):
		f.Errorf(in("policy"), "nothing would be encrypted, with a server that isn't on this machine, expected %s; insecure: true does it all the same", Basic256Sha256)
	}
	switch s.Policy {
	case PolicyNone, Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss:
	default:
		f.Errorf(in("policy"), "%q, expected %s, %s, %s or %s", s.Policy, Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss, PolicyNone)
	}
	switch s.Mode {
	case SignAndEncrypt, Sign, ModeNone:
		if (s.Mode == ModeNone) != (s.Policy == PolicyNone) {
			f.Errorf(in("mode"), "%s doesn't go with the policy %s, expected the mode None with the policy None only", s.Mode, s.Policy)
		}
	default:
		f.Errorf(in("mode"), "%q, expected %s, %s or %s", s.Mode, SignAndEncrypt, Sign, ModeNone)
	}
	if (s.Cert == "") != (s.Key == "") && !f.Broken(at("security")) {
		f.Errorf(at("security"), "cert and key belong together, expected both or neither")
	}
	if (c.Username == "") != (c.PasswordFile == "") && !f.Broken(at("username")) && !f.Broken(at("password_file")) {
		f.Errorf(path, "username and password_file belong together, expected both or neither")
	}
	if (c.UserCert == "") != (c.UserKey == "") && !f.Broken(at("user_cert")) && !f.Broken(at("user_key")) {
		f.Errorf(path, "user_cert and user_key belong together, expected both or neither")
	}
	if c.Username != "" && c.UserCert != "" {
		f.Errorf(at("user_cert"), "a login by certificate beside one by name, expected one of the two")
	}
	if len(c.Username) > longestName || !printable(c.Username) {
		f.Errorf(at("username"), "%q, expected at most %d characters that can be printed", c.Username, longestName)
	}
	for i, p := range c.Trust {
		if p == "" {
			f.Errorf(configfile.Item(at("trust"), i), "it is empty, expected a file or a directory")
		}
	}
}

func printable(text string) bool {
	for _, r := range text {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// address is the endpoint with its port.
func (c Config) address() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "opc.tcp" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(c.Endpoint) > longestEndpoint {
		return nil, strconv.ErrSyntax
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, strconv.ErrRange
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	if strings.Trim(u.Path, "/") == "" {
		u.Path = ""
	}
	return u, nil
}
