// Package kafkaconn is how Busbar connects to Kafka: the part of a
// configuration that describes it, the client options that follow from it, and
// a check that names what is wrong with a connection.
package kafkaconn

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/busbar/busbar/configfile"
)

// Config describes the connection to a Kafka cluster. Files are relative to the
// directory of the configuration that names them.
type Config struct {
	// The brokers to begin with, as host:port; the others are learnt from them.
	// One is enough, several let the start survive the loss of one.
	// Example: [kafka-0.example:9093, kafka-1.example:9093].
	Brokers []string `yaml:"brokers,required"`

	// Encryption of the connections, TLS 1.2 or later. Without it, only brokers
	// on this machine are accepted. An empty mapping, {}, uses TLS with the
	// certificate authorities of the operating system.
	TLS *TLS `yaml:"tls"`

	// The user name and password to log in with. Without it, the brokers know
	// this client by its TLS certificate, or not at all.
	SASL *SASL `yaml:"sasl"`

	// The HTTP proxy that the brokers are reached through. Default: none.
	Proxy *Proxy `yaml:"proxy"`

	// What the names of Busbar's topics begin with: with busbar they are
	// busbar.telemetry, busbar.backfill, busbar.events, busbar.births and
	// busbar.commands. Default: busbar.
	TopicPrefix string `yaml:"topic_prefix"`

	// Accepts brokers on other machines without TLS: everybody on the way can
	// then read and change what is sent, passwords included. Default: false.
	Insecure bool `yaml:"insecure"`
}

// TLS names the files of an encrypted connection, in PEM. A renewed certificate
// and key are used from the next connection on; a changed CA needs a restart.
type TLS struct {
	// The certificate authorities that the brokers' certificates must come from.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// This client's own certificate, if the brokers ask for one. Needs key.
	// Example: gw.crt.
	Cert configfile.Path `yaml:"cert"`

	// The private key of cert, in PKCS #8, PKCS #1 or SEC 1. Example: gw.key.
	Key configfile.Path `yaml:"key"`

	// The name that the brokers' certificates must be for, if it isn't the host
	// that is connected to. Example: kafka.example.
	ServerName string `yaml:"server_name"`
}

// SASL is a login by name and password.
type SASL struct {
	// How the password is proven. PLAIN sends it to the broker; the SCRAM ones
	// don't. Example: SCRAM-SHA-512.
	Mechanism Mechanism `yaml:"mechanism,required"`

	// The name to log in with. Example: north-gw1.
	Username string `yaml:"username,required"`

	// The file that holds the password; a line break at its end doesn't count.
	// It is read at each connection, so a changed password needs no restart.
	// Example: kafka.password.
	PasswordFile configfile.Path `yaml:"password_file,required"`
}

// Mechanism is a SASL mechanism by its registered name.
type Mechanism string

const (
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
	Plain       Mechanism = "PLAIN"
)

// ExplainKey refuses a password that stands in the configuration itself.
func (SASL) ExplainKey(key string) string {
	if key == "password" {
		return "a password never stands in a configuration; put it in a file and name it with password_file"
	}
	return ""
}

var topicPrefix = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

// Validate adds to f what is wrong with the values of the configuration that
// stands at path in it.
func (c Config) Validate(f *configfile.File, path string) {
	at := func(key string) string { return configfile.Join(path, key) }
	if len(c.Brokers) == 0 && !f.Broken(at("brokers")) {
		f.Errorf(at("brokers"), "no broker, expected at least one host:port")
	}
	for i, broker := range c.Brokers {
		place := configfile.Item(at("brokers"), i)
		host, port, err := net.SplitHostPort(broker)
		n, portErr := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || portErr != nil || n == 0 || host == "":
			f.Errorf(place, "%q is no broker, expected host:port such as kafka-0.example:9093", broker)
		case !c.mayDial(host) && !f.Broken(at("tls")) && !f.Broken(at("insecure")):
			f.Errorf(place, "plaintext to a broker that isn't on this machine, expected tls beside brokers; insecure: true sends everything unencrypted all the same")
		}
	}
	if c.TLS != nil {
		if c.Insecure {
			f.Errorf(at("insecure"), "has no effect beside tls, expected one of the two")
		}
		if (c.TLS.Cert == "") != (c.TLS.Key == "") && !f.Broken(at("tls")) {
			f.Errorf(at("tls"), "cert and key belong together, expected both or neither")
		}
	}
	if c.Proxy != nil {
		c.Proxy.Validate(f, at("proxy"))
	}
	if c.SASL != nil {
		switch c.SASL.Mechanism {
		case ScramSHA256, ScramSHA512, Plain:
		default:
			f.Errorf(configfile.Join(at("sasl"), "mechanism"), "%q, expected %s, %s or %s", c.SASL.Mechanism, ScramSHA512, ScramSHA256, Plain)
		}
	}
	if c.TopicPrefix != "" && !topicPrefix.MatchString(c.TopicPrefix) {
		f.Errorf(at("topic_prefix"), "%q, expected 1 to 200 letters, digits, dots, underscores or hyphens", c.TopicPrefix)
	}
}

// mayDial reports whether the configuration allows a connection to host.
func (c Config) mayDial(host string) bool {
	return c.TLS != nil || c.Insecure || ThisMachine(host)
}

// ThisMachine reports whether a host is this machine, so that nobody else reads what
// is sent there.
func ThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
