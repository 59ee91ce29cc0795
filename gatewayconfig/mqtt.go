package gatewayconfig

import (
	"cmp"
	"regexp"
	"slices"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/profile"
)

// MQTTSource is a broker that a device's values are published to. Each device has a
// connection of its own.
type MQTTSource struct {
	mqttconn.Config `yaml:",inline"`

	// How messages are subscribed to. 1: the broker keeps them while the gateway is away, as
	// many as it is set up to, and until they are on the gateway's disk; each few are then
	// written at once, which wears flash memory. 0: what can't be taken is lost. Default: 1.
	QoS uint8 `yaml:"qos"`

	// The group of a shared subscription: of all who subscribe with the same one, each
	// message goes to one. Not with retained messages, which brokers don't send then.
	// Default: the gateway gets all.
	SharedGroup string `yaml:"shared_group"`

	// For how long nothing may come before the device counts as silent and its signals have
	// no value any more; from 1s to 744h. Default: for ever; that nothing comes at all is
	// logged after a minute. Example: 1m.
	StaleAfter configfile.Duration `yaml:"stale_after"`

	// With a profile: the topic of the device itself, as its maker calls it; in it, + is any
	// level, and the device then all whose topics match, each with its own in front of the
	// names of its signals. Default: +. Example: kitchen.
	Topic string `yaml:"topic"`

	// Where the source says whether it is there, as by its last will. While it isn't, its
	// signals have no value. Default: where its profile says; without one, it doesn't say.
	Available *profile.Availability `yaml:"available"`

	// Publishing is that of the profile, at the topic of the device.
	Publishing profile.Publishing `yaml:"-" json:"-"`
}

// SetDefaults is called before a source is read.
func (m *MQTTSource) SetDefaults() { m.QoS = 1 }

// available is where the source says whether it is there.
func (m MQTTSource) available() []profile.Availability {
	if m.Available != nil {
		return []profile.Availability{*m.Available}
	}
	return m.Publishing.Available
}

// fillMQTT sets what depends on other values.
func (d *Device) fillMQTT(gateway string) {
	d.MQTT.StaleAfter = cmp.Or(d.MQTT.StaleAfter, d.MQTT.Publishing.StaleAfter)
	if d.MQTT.ClientID == "" {
		d.MQTT.ClientID = gateway + "-" + d.ID
	}
	for i := range d.Signals {
		if d.Signals[i].StaleAfter == 0 {
			d.Signals[i].StaleAfter = d.MQTT.StaleAfter
		}
	}
	for i := range d.Follow {
		if d.Follow[i].StaleAfter == 0 {
			d.Follow[i].StaleAfter = d.MQTT.StaleAfter
		}
		if d.Follow[i].Deadband != nil && d.Follow[i].ReportEvery == 0 {
			d.Follow[i].ReportEvery = configfile.Duration(time.Minute)
		}
	}
}

// client is a name at a broker.
type client struct{ broker, id string }

var sharedGroup = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkMQTT checks a device of messages. clients are those of the devices before it.
func (k checker) checkMQTT(path string, d Device, clients map[client]string) {
	if d.MQTT == nil {
		return
	}
	at := path + ".mqtt"
	d.MQTT.Config.Validate(k.File, at)
	k.notPolled(path, "messages aren't polled, they come")
	if d.MQTT.QoS > 1 {
		k.Errorf(at+".qos", "%d, expected 0 or 1", d.MQTT.QoS)
	}
	if k.Has(at+".shared_group") && !sharedGroup.MatchString(d.MQTT.SharedGroup) {
		k.Errorf(at+".shared_group", "%q, expected letters, digits, dots, underscores and hyphens", d.MQTT.SharedGroup)
	}
	if k.Has(at+".shared_group") && slices.ContainsFunc(d.Follow, func(f Follow) bool { return f.DescribedBy != "" }) {
		k.Errorf(at+".shared_group", "what is described by a convention is described by what the broker keeps, which it doesn't give to groups; expected no shared_group")
	}
	profile.CheckStale(k.File, at+".stale_after", d.MQTT.StaleAfter)
	if a := d.MQTT.Available; a != nil {
		a.Check(k.File, at+".available")
	}
	if k.Has(at+".topic") && !k.Has(path+".profile") && !k.Broken(path+".profile") {
		k.Errorf(at+".topic", "the device has no profile whose topics it could be part of, expected one beside it, or topic in its signals")
	}
	if id := d.MQTT.ClientID; id != "" {
		c := client{d.MQTT.Broker, id}
		if other, twice := clients[c]; twice {
			k.Errorf(at+".client_id", "%q is device %q's already, and the broker closes the older connection of two; expected another one", id, other)
		}
		clients[c] = d.ID
	}
	for i := range d.Signals {
		// It holds a value in memory until the next one has come.
		if at := configfile.Item(path+".signals", i) + ".swinging_door"; k.Has(at) && d.MQTT.QoS == 1 {
			k.Errorf(at, "a message at QoS 1 is acknowledged when its value is on disk, which would have to wait for the next one; expected a deadband, or qos: 0")
		}
	}
}
