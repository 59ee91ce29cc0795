// Package mqttconn is how Busbar connects to an MQTT broker: the part of a
// configuration that describes it, and a connection that ends with an error
// whatever the broker does.
package mqttconn

import (
	"net"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
)

// Config describes the connection to an MQTT broker, which has to speak MQTT 3.1.1.
// Files are relative to the directory of the configuration that names them.
type Config struct {
	// The broker, as tls://host:port, or as tcp://host:port without encryption, which
	// is accepted on this machine only. The port is 8883 or 1883 if it is left out.
	// Example: tls://broker.example:8883.
	Broker string `yaml:"broker,required"`

	// The name by which the broker knows this connection; of two with the same one it
	// closes the older. Default: the gateway's id; of a device, with - and its own behind it.
	ClientID string `yaml:"client_id"`

	// The name to log in with. Needs password_file. Default: no login.
	// Example: north-gw1.
	Username string `yaml:"username"`

	// The file that holds the password; a line break at its end doesn't count.
	// It is read at each connection, so a changed password needs no restart.
	// Example: mqtt.password.
	PasswordFile configfile.Path `yaml:"password_file"`

	// The certificates of a tls:// broker. Default: the certificate authorities of the
	// operating system, and no certificate of this client.
	TLS *kafkaconn.TLS `yaml:"tls"`

	// Accepts a tcp:// broker on another machine: everybody on the way can then read
	// and change what is sent, passwords included. Default: false.
	Insecure bool `yaml:"insecure"`
}

// ExplainKey refuses a password that stands in the configuration itself.
func (Config) ExplainKey(key string) string {
	if key == "password" {
		return "a password never stands in a configuration; put it in a file and name it with password_file"
	}
	return ""
}

// longestClientID bounds client_id, in bytes. Brokers have to take 23, and most take
// more.
const longestClientID = 128

// Validate adds to f what is wrong with the values of the configuration that
// stands at path in it.
func (c Config) Validate(f *configfile.File, path string) {
	at := func(key string) string { return configfile.Join(path, key) }
	host, _, encrypted, ok := c.address()
	switch {
	case f.Broken(at("broker")) || c.Broker == "" && !f.Has(at("broker")):
	case !ok:
		f.Errorf(at("broker"), "%q is no broker, expected tls://host:port, or tcp://127.0.0.1:1883 for one on this machine", c.Broker)
	case encrypted && c.Insecure:
		f.Errorf(at("insecure"), "has no effect with a tls:// broker, expected it to be left out")
	case !encrypted && c.TLS != nil:
		f.Errorf(at("tls"), "has no effect with a tcp:// broker, expected a tls:// one")
	case !encrypted && !c.Insecure && !kafkaconn.ThisMachine(host) && !f.Broken(at("insecure")):
		f.Errorf(at("broker"), "plaintext to a broker that isn't on this machine, expected tls://%s; insecure: true sends everything unencrypted all the same", host)
	}
	if t := c.TLS; t != nil && (t.Cert == "") != (t.Key == "") && !f.Broken(at("tls")) {
		f.Errorf(at("tls"), "cert and key belong together, expected both or neither")
	}
	if (c.Username == "") != (c.PasswordFile == "") && !f.Broken(at("username")) && !f.Broken(at("password_file")) {
		f.Errorf(path, "username and password_file belong together, expected both or neither")
	}
	if len(c.ClientID) > longestClientID || !printable(c.ClientID) {
		f.Errorf(at("client_id"), "%q, expected at most %d characters that can be printed", c.ClientID, longestClientID)
	}
	if len(c.Username) > longestClientID || !printable(c.Username) {
		f.Errorf(at("username"), "%q, expected at most %d characters that can be printed", c.Username, longestClientID)
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

// address is where the broker is, and whether what is sent there is encrypted.
func (c Config) address() (host, address string, encrypted, ok bool) {
	u, err := url.Parse(c.Broker)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", "", false, false
	}
	port := u.Port()
	switch {
	case u.Scheme == "tls" && port == "":
		port = "8883"
	case u.Scheme == "tcp" && port == "":
		port = "1883"
	case u.Scheme != "tls" && u.Scheme != "tcp":
		return "", "", false, false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", false, false
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), port), u.Scheme == "tls", true
}
