package gatewayconfig

import (
	"regexp"

	"github.com/busbar/busbar/mqttconn"
)

// Serve is what others on the gateway's site get from it, also while the log is away.
type Serve struct {
	// The MQTT broker that alarms are published to. Default: none.
	MQTT *MQTT `yaml:"mqtt"`

	// The MQTT broker that everything that is measured is published to by Sparkplug B:
	// the gateway is an edge node, and its devices are the node's. Default: none.
	Sparkplug *SparkplugNode `yaml:"sparkplug"`

	// The control rooms that signals are offered to by IEC 60870-5-104: the gateway is a
	// controlled station. Default: none.
	IEC104 *Station `yaml:"iec104"`
}

// MQTT is a broker of the site, to which each alarm is published when it is raised and
// when it is cleared.
type MQTT struct {
	mqttconn.Config `yaml:",inline"`

	// What the topics begin with: with busbar and the gateway north-gw1 they are
	// busbar/north-gw1/status and, for each rule and asset or device,
	// busbar/north-gw1/alarms/RULE/ASSET. Default: busbar.
	TopicPrefix string `yaml:"topic_prefix"`

	// Publishes the value of each signal too, when it changes, under
	// busbar/north-gw1/values/DEVICE/SIGNAL. Default: alarms alone.
	Values *MQTTValues `yaml:"values"`
}

// MQTTValues says how values are published.
type MQTTValues struct {
	// 0, or 1: the broker acknowledges each. In either case the latest one of a signal is
	// what arrives when the broker was away. Default: 0.
	QoS uint8 `yaml:"qos"`

	// The broker keeps the last value of each signal, for who subscribes later.
	// Default: false.
	Retain bool `yaml:"retain"`
}

// SparkplugNode is the gateway as a Sparkplug B 3.0 edge node. What changes while the
// broker or the primary host is away waits in memory, and is published as historical
// then: 100,000 values at most, of which the oldest are given up first.
type SparkplugNode struct {
	mqttconn.Config `yaml:",inline"`

	// The group that it is in. Example: plant-a.
	Group string `yaml:"group,required"`

	// The name of the edge node, unique in its group. Default: the gateway's id.
	// Example: north-gw1.
	Node string `yaml:"node"`

	// The host application without which nothing is published: while it is away, values
	// wait. Default: none is awaited. Example: scada.
	PrimaryHost string `yaml:"primary_host"`
}

// SetDefaults is called before a broker is read.
func (m *MQTT) SetDefaults() { m.TopicPrefix = "busbar" }

var topicPrefix = regexp.MustCompile(`^[A-Za-z0-9._-]{1,60}(/[A-Za-z0-9._-]{1,60}){0,7}$`)

func (k checker) checkServe() {
	k.checkStationLink()
	if s := k.config.Serve.Sparkplug; s != nil {
		s.Config.Validate(k.File, "serve.sparkplug")
		k.sparkplugID("serve.sparkplug.group", s.Group)
		k.sparkplugID("serve.sparkplug.node", s.Node)
		k.sparkplugID("serve.sparkplug.primary_host", s.PrimaryHost)
	}
	m := k.config.Serve.MQTT
	if m == nil {
		return
	}
	m.Config.Validate(k.File, "serve.mqtt")
	if v := m.Values; v != nil && v.QoS > 1 {
		k.Errorf("serve.mqtt.values.qos", "%d, expected 0 or 1", v.QoS)
	}
	if !topicPrefix.MatchString(m.TopicPrefix) {
		k.Errorf("serve.mqtt.topic_prefix", "%q, expected names of letters, digits, dots, underscores and hyphens with / between them, such as busbar", m.TopicPrefix)
	}
}
