// Package mqtt takes values from the messages of an MQTT broker (MQTT 3.1.1): one
// connection a device, whose signals are topics and places in their payloads. What came
// at QoS 1 is acknowledged when it is on this machine's disk.
package mqtt

import (
	"log/slog"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for what is published by MQTT.
type Adapter = session.Adapter[Device]

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter { return session.New(devices, logger) }

// Device is what one connection to a broker is for.
type Device struct {
	ID         string
	Connection mqttconn.Config // with a client id of its own
	Dir        string          // that its file names are relative to
	QoS        byte            // 0 or 1
	// SharedGroup shares what comes among all who subscribe in the same group; "": alone.
	SharedGroup string
	// StaleAfter is for how long nothing may come before the device counts as silent; 0: for
	// ever.
	StaleAfter time.Duration
	Available  []Availability
	Points     []Point
	Follow     []Follow
	Live       telemetry.SignalID

	// apart is a connection beside the one of the gateway: see Apart.
	apart bool
}

// Availability is where a source says whether it is there, as by its last will.
type Availability struct {
	// Topic is that of the device; with wildcards, of as many sources as they match: see
	// Follow.Sources.
	Topic           string
	JSON            string // "": the payload is the text
	Online, Offline string // Online "": any other word
}

// Format is how a payload is written.
type Format string

const (
	Plain  Format = "" // a number, true, false, ON, OFF, or a text; with a path, JSON
	Influx Format = "influx"
)

// Selector is where a value lies in a payload, and what it is.
type Selector struct {
	Format Format
	JSON   string // a path; "": none
	// Measurement, Field and Tags are those of an Influx line; without a measurement or
	// tags, of any one.
	Measurement, Field string
	Tags               map[string]string
	Time               string // the path of the payload's time; "": none, but Influx lines have theirs
	TimeUnit           TimeUnit
	Type               Type
	States             map[string]int64 // texts that are numbers
	Scale, Offset      float64          // of numbers
}

// Point is a signal.
type Point struct {
	Name  string
	Topic string
	Selector
	StaleAfter time.Duration // for how long nothing may come; 0: for ever
	Signal     telemetry.SignalID
}

// Follow is signals that are found: one at each topic that the filter matches.
type Follow struct {
	Topic string // with wildcards
	Name  string // {1} is what the first of them matches
	// Sources is how many of the first wildcards say which source it is that publishes, as
	// they do in an Availability; 0: the device is one.
	Sources   int
	Described Convention
	Selector
	Kind       telemetry.Kind
	StaleAfter time.Duration
}

// About implements session.Device.
func (d Device) About() session.About {
	a := session.About{ID: d.ID, Where: d.Connection.Broker, Live: d.Live, Open: len(d.Follow) > 0}
	for _, p := range d.Points {
		a.Points = append(a.Points, session.Point{Name: p.Name, Signal: p.Signal})
	}
	return a
}

// Apart is the device for somebody who looks at it beside the gateway: another client to
// the broker, that leaves the gateway's session and its share alone and acknowledges
// nothing.
func (d Device) Apart() Device {
	d.apart = true
	d.QoS, d.SharedGroup = 0, ""
	return d
}

// filters are what is subscribed to, without what others of them cover: a broker sends a
// message for each subscription that it matches.
func (d Device) filters() []mqttconn.Filter {
	var all []string
	for _, p := range d.Points {
		all = append(all, p.Topic)
	}
	for _, f := range d.Follow {
		all = append(append(all, f.Topic), f.descriptions()...)
	}
	group := ""
	if d.SharedGroup != "" {
		group = "$share/" + d.SharedGroup + "/"
	}
	var list []mqttconn.Filter
	for _, topic := range broadest(all) {
		list = append(list, mqttconn.Filter{Topic: group + topic, QoS: d.QoS})
	}
	shared := len(list)
	for _, a := range d.Available {
		if by := list[shared:]; !covered(a.Topic, by) && (group != "" || !covered(a.Topic, list)) {
			list = append(list, mqttconn.Filter{Topic: a.Topic, QoS: d.QoS})
		}
	}
	return list
}

func covered(topic string, by []mqttconn.Filter) bool {
	for _, f := range by {
		if covers(f.Topic, topic) {
			return true
		}
	}
	return false
}

// broadest is filters without those that another one covers, in their order.
func broadest(filters []string) []string {
	var wild []string
	for _, f := range filters {
		if strings.ContainsAny(f, "+#") {
			wild = append(wild, f)
		}
	}
	seen := map[string]bool{}
	var list []string
next:
	for _, f := range filters {
		if seen[f] {
			continue
		}
		seen[f] = true
		for _, w := range wild {
			if w != f && covers(w, f) {
				continue next
			}
		}
		list = append(list, f)
	}
	return list
}
