package gatewayconfig

import (
	"strings"
	"testing"
)

// What isn't said of a broker follows from the gateway, and another broker takes a
// restart.
func TestServeMQTT(t *testing.T) {
	src := minimal + "serve: {mqtt: {broker: \"tls://broker.example\"}}\n"
	c, err := Parse("gateway.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if m := c.Serve.MQTT; m.ClientID != "gw" || m.TopicPrefix != "busbar" {
		t.Errorf("%+v", m)
	}
	other, err := Parse("gateway.yaml", []byte(strings.Replace(src, "broker.example", "other.example", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if changes := other.Changes(c); len(changes) != 1 || changes[0].Name() != "serve.mqtt.broker" || !changes[0].Restart {
		t.Errorf("%+v", changes)
	}
}

// What a broker on another machine is told is encrypted, unless the file says that it
// isn't to be.
func TestServeMQTTPlaintext(t *testing.T) {
	for broker, want := range map[string]string{
		`"tcp://127.0.0.1:1883"`:                        "",
		`"tcp://[::1]"`:                                 "",
		`"tcp://localhost"`:                             "",
		`"tls://10.0.0.5"`:                              "",
		`"tcp://10.0.0.5", insecure: true`:              "",
		`"tcp://10.0.0.5"`:                              "expected tls://10.0.0.5",
		`"tls://10.0.0.5", insecure: true`:              "no effect",
		`"tcp://localhost", tls: {}`:                    "no effect",
		`"mqtt://localhost"`:                            "is no broker",
		`"tcp://u:p@localhost"`:                         "is no broker",
		`"tcp://localhost:0"`:                           "is no broker",
		`"tcp://localhost/mqtt"`:                        "is no broker",
		`"tls://10.0.0.5", username: gw`:                "belong together",
		`"tls://10.0.0.5", password_file: f`:            "belong together",
		`"tls://10.0.0.5", tls: {key: gw.key}`:          "belong together",
		`"tls://10.0.0.5", topic_prefix: "$SYS"`:        "expected names",
		`"tls://10.0.0.5", topic_prefix: "/busbar"`:     "expected names",
		`"tls://10.0.0.5", topic_prefix: "plant/a-b.c"`: "",
	} {
		_, err := Parse("gateway.yaml", []byte(minimal+"serve: {mqtt: {broker: "+broker+"}}\n"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", broker, err, want)
		}
	}
}
