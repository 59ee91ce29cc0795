package kafkaconn

import (
	"testing"

	"github.com/busbar/busbar/configfile"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"on this machine": {"kafka: {brokers: [localhost:9092, 127.0.0.1:9092, '[::1]:9092']}", ""},
		"insecure":        {"kafka: {brokers: [kafka-0.example:9093], insecure: true}", ""},
		"as documented": {`kafka:
  brokers: [kafka-0.example:9093, kafka-1.example:9093]
  tls: {ca: ca.crt, cert: gw.crt, key: gw.key}
  sasl: {mechanism: SCRAM-SHA-512, username: north-gw1, password_file: kafka.password}
  topic_prefix: busbar
`, ""},
		"system CAs": {"kafka: {brokers: [kafka-0.example:9093], tls: {}}", ""},
		"everything": {`kafka:
  brokers:
    - kafka-0.example:9093
    - kafka-1.example
    - :9093
    - localhost:99999
  sasl: {mechanism: GSSAPI, username: me, password: secret}
  topic_prefix: a b
`, `k.yaml:3:7: kafka.brokers[0]: plaintext to a broker that isn't on this machine, expected tls beside brokers; insecure: true sends everything unencrypted all the same
        - kafka-0.example:9093
          ^
k.yaml:4:7: kafka.brokers[1]: "kafka-1.example" is no broker, expected host:port such as kafka-0.example:9093
        - kafka-1.example
          ^
k.yaml:5:7: kafka.brokers[2]: ":9093" is no broker, expected host:port such as kafka-0.example:9093
        - :9093
          ^
k.yaml:6:7: kafka.brokers[3]: "localhost:99999" is no broker, expected host:port such as kafka-0.example:9093
        - localhost:99999
          ^
k.yaml:7:3: kafka.sasl.password_file: the key is missing, expected a value
k.yaml:7:21: kafka.sasl.mechanism: "GSSAPI", expected SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN
k.yaml:7:43: kafka.sasl.password: a password never stands in a configuration; put it in a file and name it with password_file
k.yaml:8:17: kafka.topic_prefix: "a b", expected 1 to 200 letters, digits, dots, underscores or hyphens
      topic_prefix: a b
                    ^`},
		"no broker": {"kafka: {brokers: [], tls: {cert: gw.crt}, insecure: true}", `k.yaml:1:9: kafka.brokers: no broker, expected at least one host:port
    kafka: {brokers: [], tls: {cert: gw.crt}, insecure: true}
            ^
k.yaml:1:22: kafka.tls: cert and key belong together, expected both or neither
    kafka: {brokers: [], tls: {cert: gw.crt}, insecure: true}
                         ^
k.yaml:1:53: kafka.insecure: has no effect beside tls, expected one of the two
    kafka: {brokers: [], tls: {cert: gw.crt}, insecure: true}
                                                        ^`},
		"a broken tls is no plaintext": {"kafka: {brokers: [kafka-0.example:9093], tls: yes}", `k.yaml:1:47: kafka.tls: the text "yes", expected a mapping of "key: value"
    kafka: {brokers: [kafka-0.example:9093], tls: yes}
                                                  ^`},
		"a TLS without value is plaintext": {"kafka: {brokers: [kafka-0.example:9093], tls: }", `k.yaml:1:19: kafka.brokers[0]: plaintext to a broker that isn't on this machine, expected tls beside brokers; insecure: true sends everything unencrypted all the same
    kafka: {brokers: [kafka-0.example:9093], tls: }
                      ^`},
	} {
		t.Run(name, func(t *testing.T) {
			var into struct {
				Kafka Config `yaml:"kafka,required"`
			}
			f, _ := configfile.Decode("k.yaml", []byte(c.src), &into)
			into.Kafka.Validate(f, "kafka")
			got := ""
			if err := f.Err(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
