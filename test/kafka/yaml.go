package kafka

import (
	"fmt"
	"strings"

	"github.com/busbar/busbar/kafkaconn"
)

// YAML is a connection as it stands under forward.kafka or log.kafka in a
// configuration, each line after indent.
func YAML(c kafkaconn.Config, indent string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	line("brokers: [%s]", strings.Join(c.Brokers, ", "))
	if t := c.TLS; t != nil {
		files := []string{fmt.Sprintf("ca: %q", t.CA)}
		if t.Cert != "" {
			files = append(files, fmt.Sprintf("cert: %q, key: %q", t.Cert, t.Key))
		}
		if t.ServerName != "" {
			files = append(files, "server_name: "+t.ServerName)
		}
		line("tls: {%s}", strings.Join(files, ", "))
	}
	if s := c.SASL; s != nil {
		line("sasl: {mechanism: %s, username: %s, password_file: %q}", s.Mechanism, s.Username, s.PasswordFile)
	}
	if c.TopicPrefix != "" {
		line("topic_prefix: %s", c.TopicPrefix)
	}
	return b.String()
}
