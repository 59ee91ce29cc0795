package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Publishing is how a product publishes by MQTT. In its topics and in those of the profile's signals
// and of what it follows, {topic} stands for the topic of the device, as a whole level
// before any wildcard.
type Publishing struct {
	// For how long nothing may come before the device counts as silent and its signals have
	// no value any more; from 1s to 744h. Default: for ever.
	StaleAfter configfile.Duration `yaml:"stale_after"`

	// Where the device says whether it is there, as by its last will: it is gone while any of
	// these says so. Default: it doesn't say.
	Available []Availability `yaml:"available"`
}

// Availability is the topic of a source's last will.
type Availability struct {
	// The topic. Example: tele/plug-1/LWT.
	Topic string `yaml:"topic,required"`

	// Where the word is in a JSON payload, as a path. Default: the payload is the word.
	// Example: $.state.
	JSON string `yaml:"json"`

	// What it says when it is there; empty: anything but offline. Default: online.
	Online string `yaml:"online"`

	// What it says when it isn't. Default: offline.
	Offline string `yaml:"offline"`
}

// SetDefaults is called before an availability is read.
func (a *Availability) SetDefaults() { a.Online, a.Offline = "online", "offline" }

// MQTT is the availability as the adapter takes it.
func (a Availability) MQTT() mqtt.Availability {
	return mqtt.Availability{Topic: a.Topic, JSON: a.JSON, Online: a.Online, Offline: a.Offline}
}

// Check adds what is wrong with the availability at path of f.
func (a Availability) Check(f *configfile.File, path string) {
	if f.Has(path + ".topic") {
		if err := mqtt.CheckTopic(a.Topic); err != nil {
			f.Errorf(path+".topic", "%q, %s", a.Topic, err)
		}
	}
	if f.Has(path + ".json") {
		if err := mqtt.CheckSinglePath(a.JSON); err != nil {
			f.Errorf(path+".json", "%s", err)
		}
	}
	if a.Online == a.Offline && !f.Broken(path) {
		f.Errorf(path, "online and offline are both %q, expected two words", a.Online)
	}
}

// EveryTopic is the topic of all devices of a kind.
const EveryTopic = "+"

// CheckDeviceTopic says what is wrong with what {topic} stands for.
func CheckDeviceTopic(topic string) error {
	if strings.Contains(topic, "#") || strings.ContainsAny(topic, "{}") {
		return fmt.Errorf("expected the topic of a device, in which + stands for any level")
	}
	return mqtt.CheckFilter(topic)
}

// AtTopic is the profile of a device whose topic is that. With + in it, it is of all
// whose topics match, and what is followed has what they match before its names.
func (p Profile) AtTopic(topic string) Profile {
	if p.MQTT != nil {
		of := *p.MQTT
		of.Available = slices.Clone(of.Available)
		for i := range of.Available {
			of.Available[i].Topic = strings.ReplaceAll(of.Available[i].Topic, TopicPlace, topic)
		}
		p.MQTT = &of
	}
	p.Signals = slices.Clone(p.Signals)
	for i := range p.Signals {
		p.Signals[i].Topic = strings.ReplaceAll(p.Signals[i].Topic, TopicPlace, topic)
	}
	p.Follow = slices.Clone(p.Follow)
	for i := range p.Follow {
		p.Follow[i] = p.Follow[i].At(topic)
	}
	return p
}

// device is the product at a topic, as the adapter takes it.
func (p Profile) device(topic string) mqtt.Device {
	p = p.AtTopic(topic)
	var d mqtt.Device
	for _, a := range p.MQTT.Available {
		d.Available = append(d.Available, a.MQTT())
	}
	for _, s := range p.Signals {
		d.Points = append(d.Points, s.MQTT())
	}
	for _, f := range p.Follow {
		d.Follow = append(d.Follow, f.MQTT())
	}
	return d
}

func number(i int) string { return "{" + strconv.Itoa(i) + "}" }

// mostAvailable bounds where a product says whether it is there.
const mostAvailable = 8

// checkMQTT adds what is wrong with what a product publishes.
func (p Profile) checkMQTT(f *configfile.File) {
	if f.Has("modbus") {
		f.Errorf("modbus", "mqtt is given too, expected one of them")
	}
	if f.Has("identify") {
		f.Errorf("identify", "the product is read by mqtt, which hasn't got this, expected the key to be left out")
	}
	CheckStale(f, "mqtt.stale_after", p.MQTT.StaleAfter)
	if len(p.MQTT.Available) > mostAvailable {
		f.Errorf("mqtt.available", "%d, expected at most %d", len(p.MQTT.Available), mostAvailable)
	}
	const one = "device"
	at := p.AtTopic(one)
	for i, a := range at.MQTT.Available {
		path := configfile.Item("mqtt.available", i)
		a.Check(f, path)
		CheckPlace(f, path+".topic", p.MQTT.Available[i].Topic, false)
	}
	CheckNames(f, "signals", p.Signals)
	for i, s := range at.Signals {
		path := configfile.Item("signals", i)
		CheckSignal(f, path, MQTT, s)
		CheckPlace(f, path+".topic", p.Signals[i].Topic, true)
	}
	first := map[string]int{}
	for i, of := range at.Follow {
		path := configfile.Item("follow", i)
		CheckFollow(f, path, MQTT, of)
		CheckPlace(f, path+".topic", p.Follow[i].Topic, true)
		if other, twice := first[of.Name]; twice && of.Name != "" {
			f.Errorf(path+".name", "%q is follow[%d] already, expected a name of its own", of.Name, other)
		}
		first[of.Name] = i
	}
}

// CheckPlace adds where {topic} isn't as it should be in a topic at path of f.
func CheckPlace(f *configfile.File, path, topic string, needed bool) {
	wild, times := false, 0
	for level := range strings.SplitSeq(topic, "/") {
		switch {
		case level == TopicPlace && wild:
			f.Errorf(path, "%q, expected %s before + and #", topic, TopicPlace)
			return
		case level == TopicPlace:
			times++
		case strings.ContainsAny(level, "{}"):
			f.Errorf(path, "%q, expected %s alone between slashes, and no other braces", topic, TopicPlace)
			return
		}
		wild = wild || level == "+" || level == "#"
	}
	if times > 1 || needed && times == 0 && f.Has(path) {
		f.Errorf(path, "%q, expected %s in it once, for the topic of the device", topic, TopicPlace)
	}
}

// Published is a message of an example.
type Published struct {
	Topic   string `yaml:"topic,required"`
	Payload string `yaml:"payload,required"`
}

// checkMessages has the example's messages decoded as the gateway does, of a device whose
// own topic is the example's.
func (p Profile) checkMessages(f *configfile.File, at string, e Example) {
	if err := CheckDeviceTopic(e.Topic); err != nil {
		f.Errorf(at+".topic", "%q, %s", e.Topic, err)
		return
	}
	var messages []mqtt.Message
	for i, m := range e.Messages {
		if err := mqtt.CheckTopic(m.Topic); err != nil {
			f.Errorf(configfile.Item(at+".messages", i)+".topic", "%q, %s", m.Topic, err)
			return
		}
		messages = append(messages, mqtt.Message(m))
	}
	values := p.device(e.Topic).Decode(messages)
	for name, want := range e.Values {
		v, is := values[name]
		got := v.Sample.Value.String()
		if reason := v.Sample.Quality.Reason(); reason != telemetry.NoReason {
			got = reason.String()
		}
		switch {
		case !is:
			f.Errorf(at+".values."+name, "the messages say nothing of it, but of %s", strings.Join(namesOf(values), ", "))
		case !same(got, want, v.Unit):
			f.Errorf(at+".values."+name, "the messages say %s, expected %s", strings.TrimSpace(got+" "+v.Unit), want)
		}
	}
}

// same reports whether a person who writes a text means a value, maybe with the unit that
// the device has told.
func same(got, want, unit string) bool {
	if got == want || unit != "" && got+" "+unit == want {
		return true
	}
	a, err := strconv.ParseFloat(got, 64)
	if err != nil {
		return false
	}
	b, err := strconv.ParseFloat(want, 64)
	return err == nil && near(a, b)
}

func namesOf(values map[string]mqtt.Decoded) (names []string) {
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
