// Package sparkplug is a Sparkplug B 3.0 host application: it takes what the edge nodes
// of some groups, and their devices, publish to an MQTT broker. Which signals there are
// they tell themselves, in their births.
package sparkplug

import (
	"context"
	"log/slog"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/adapters/sparkplug/host"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for host applications.
type Adapter = session.Adapter[Device]

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter { return session.New(devices, logger) }

// Device is one host application and all that it hears.
type Device struct {
	ID     string
	Broker mqttconn.Config
	Dir    string // that file names are relative to
	HostID string
	Groups []string // none: all
	// ReorderTimeout is how long messages that came out of order wait for those that are
	// missing, before their node is asked for its births.
	ReorderTimeout time.Duration
	// Follow is what is read; nothing: everything. Each entry is patterns of
	// node/metric or node/device/metric, in which * stands for any text.
	Follow [][]string
	Live   telemetry.SignalID
	Own    host.Node // the edge node that the gateway is itself, which isn't read
}

// toldWithin is how long it may take until all edge nodes that are there have been born.
const toldWithin = 2 * time.Minute

// About implements session.Device.
func (d Device) About() session.About {
	return session.About{ID: d.ID, Where: d.Broker.Broker, Live: d.Live, Open: true, ToldWithin: toldWithin}
}

// filters are what is subscribed to. Deaths and states come at QoS 1.
func (d Device) filters() []mqttconn.Filter {
	list := []mqttconn.Filter{{Topic: topic.OfHost(d.HostID), QoS: 1}}
	if len(d.Groups) == 0 {
		return append(list, mqttconn.Filter{Topic: topic.Namespace + "/#", QoS: 1})
	}
	for _, g := range d.Groups {
		list = append(list, mqttconn.Filter{Topic: topic.Namespace + "/" + g + "/#", QoS: 1})
	}
	return list
}

// Read implements session.Device: it says only whether the broker can be reached, as
// anything else would take the place of the host application that runs.
func (d Device) Read(ctx context.Context) session.Result {
	conn, err := mqttconn.Dial(ctx, d.Broker, mqttconn.Options{Dir: d.Dir})
	if err == nil {
		err = conn.SubscribeAll(ctx, d.filters())
		conn.Close()
	}
	return session.Result{Received: time.Now(), Cause: err}
}

// follows is by which entry a series is read; -1: it isn't. Whether a node or a device is
// there always is, by the first.
func (d Device) follows(s host.Series) int {
	if s.Live || len(d.Follow) == 0 {
		return 0
	}
	path := s.Node + "/" + s.Metric
	if s.Device != "" {
		path = s.Node + "/" + s.Device + "/" + s.Metric
	}
	for i, patterns := range d.Follow {
		if len(patterns) == 0 {
			return i
		}
		for _, p := range patterns {
			if telemetry.Matches(p, path) {
				return i
			}
		}
	}
	return -1
}
