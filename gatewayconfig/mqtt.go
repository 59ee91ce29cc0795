package gatewayconfig

import (
	"regexp"
	"time"

	"github.com/busbar/busbar/adapters/mqtt"
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

	// Where the source says whether it is there, as by its last will. While it isn't, its
	// signals have no value. Default: it doesn't say.
	Available *MQTTAvailable `yaml:"available"`
}

// MQTTAvailable is the topic of a source's last will.
type MQTTAvailable struct {
	// The topic. Example: tele/plug-1/LWT.
	Topic string `yaml:"topic,required"`

	// Where the word is in a JSON payload, as a path. Default: the payload is the word.
	// Example: $.state.
	JSON string `yaml:"json"`

	// What it says when it is there. Default: online.
	Online string `yaml:"online"`

	// What it says when it isn't. Default: offline.
	Offline string `yaml:"offline"`
}

// SetDefaults is called before a source is read.
func (m *MQTTSource) SetDefaults() { m.QoS = 1 }

// SetDefaults is called before an availability is read.
func (a *MQTTAvailable) SetDefaults() { a.Online, a.Offline = "online", "offline" }

// SetDefaults is called before what is followed is read.
func (f *Follow) SetDefaults() { f.Scale = 1 }

// fillMQTT sets what depends on other values.
func (d *Device) fillMQTT(gateway string) {
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

// signal is one of those that are found, with the name that all of them are given by.
func (f Follow) signal() Signal {
	return Signal{
		Payload: f.Payload, Name: f.Name, Type: f.Type, Scale: f.Scale, Offset: f.Offset, Kind: f.Kind, States: f.States, Unit: f.Unit,
		Deadband: f.Deadband, ReportEvery: f.ReportEvery,
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
	profile.CheckStale(k.File, at+".stale_after", d.MQTT.StaleAfter)
	if a := d.MQTT.Available; a != nil {
		k.checkAvailable(at+".available", *a)
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
	for i, f := range d.Follow {
		k.checkFollowedTopic(configfile.Item(path+".follow", i), f)
	}
}

func (k checker) checkAvailable(at string, a MQTTAvailable) {
	if k.Has(at + ".topic") {
		if err := mqtt.CheckTopic(a.Topic); err != nil {
			k.Errorf(at+".topic", "%q, %s", a.Topic, err)
		}
	}
	if k.Has(at + ".json") {
		if err := mqtt.CheckSinglePath(a.JSON); err != nil {
			k.Errorf(at+".json", "%s", err)
		}
	}
	if a.Online == a.Offline && !k.Broken(at) {
		k.Errorf(at, "online and offline are both %q, expected two words", a.Online)
	}
}

// checkFollowedTopic checks what is read of the topics of a filter.
func (k checker) checkFollowedTopic(at string, f Follow) {
	switch {
	case k.Broken(at + ".topic"):
	case !k.Has(at + ".topic"):
		k.Errorf(at, "no address, expected topic")
	default:
		if err := mqtt.CheckFilter(f.Topic); err != nil {
			k.Errorf(at+".topic", "%q, %s", f.Topic, err)
			break
		}
		if !k.Has(at+".name") && !k.Broken(at+".name") {
			k.Errorf(at, "what they are called isn't said, expected name, such as {1}.TotW")
		} else if err := mqtt.CheckName(f.Name, f.Topic); err != nil {
			k.Errorf(at+".name", "%q, %s", f.Name, err)
		}
	}
	s := f.signal()
	profile.CheckPayload(k.File, at, s)
	profile.CheckMeaning(k.File, at, s)
}
