package gatewayconfig

import (
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/mqttconn"
)

// Sparkplug is a Sparkplug B 3.0 host application at a broker, and what its edge nodes
// and their devices publish there. Their births say which signals there are:
// node.device.metric, with the group before it unless there is exactly one, and what a
// signal's name can't have as an underscore. node.Live and node.device.Live are whether
// they are there.
type Sparkplug struct {
	mqttconn.Config `yaml:",inline"`

	// The name of the host application, under which edge nodes find out whether it is
	// there. No other one at the broker may have it. Example: busbar.
	HostID string `yaml:"host_id,required"`

	// The groups of edge nodes. Default: all that the broker shows.
	// Example: [plant-a].
	Groups []string `yaml:"groups"`

	// How long messages that came out of order wait for those that are missing, before
	// their edge node is asked for its births; from 100ms to 1m. Default: 3s.
	ReorderTimeout configfile.Duration `yaml:"reorder_timeout"`
}

// SetDefaults is called before one is read.
func (s *Sparkplug) SetDefaults() { s.ReorderTimeout = configfile.Duration(3 * time.Second) }

// longestPattern bounds a pattern of follow, in bytes.
const longestPattern = 512

func (k checker) checkSparkplug(path string, d Device, hosts map[string]string) {
	if d.Sparkplug == nil {
		return
	}
	s, at := *d.Sparkplug, path+".sparkplug"
	s.Config.Validate(k.File, at)
	k.sparkplugID(at+".host_id", s.HostID)
	for i, g := range s.Groups {
		item := configfile.Item(at+".groups", i)
		k.sparkplugID(item, g)
		if slices.Index(s.Groups, g) < i {
			k.Errorf(item, "%q is in the list already, expected each group once", g)
		}
	}
	within(k, at+".reorder_timeout", s.ReorderTimeout, millis(100), millis(60_000))
	key := s.Broker + " " + s.HostID
	if other, twice := hosts[key]; twice && k.Has(at+".host_id") {
		k.Errorf(at+".host_id", "%q is that of device %q at this broker already, expected one of its own", s.HostID, other)
	}
	hosts[key] = d.ID
	for _, other := range []string{"poll_every", "timeout"} {
		if k.Has(path + "." + other) {
			k.Errorf(path+"."+other, "edge nodes aren't polled, they publish what changes; expected the key to be left out")
		}
	}
	if k.Has(path + ".signals") {
		k.Errorf(path+".signals", "edge nodes tell which signals they have, expected the key to be left out, or follow for some of them only")
	}
	for i, f := range d.Follow {
		for j, p := range f.Metrics {
			if p == "" || len(p) > longestPattern {
				k.Errorf(configfile.Item(configfile.Item(path+".follow", i)+".metrics", j), "%.40q, expected a pattern of 1 to %d bytes like */pump-1/*", p, longestPattern)
			}
		}
	}
}

func (k checker) sparkplugID(path, id string) {
	if !k.Has(path) {
		return
	}
	if err := topic.CheckID(id); err != nil {
		k.Errorf(path, "%q, %s", id, err)
	}
}

// SparkplugDevice is a device that is read by sparkplug, as the adapter takes it, without
// the id of its live signal. dir is what file names are relative to.
func (d Device) SparkplugDevice(dir string) sparkplug.Device {
	s := sparkplug.Device{
		ID: d.ID, Broker: d.Sparkplug.Config, Dir: dir, HostID: d.Sparkplug.HostID, Groups: d.Sparkplug.Groups,
		ReorderTimeout: time.Duration(d.Sparkplug.ReorderTimeout),
	}
	for _, f := range d.Follow {
		s.Follow = append(s.Follow, f.Metrics)
	}
	return s
}
