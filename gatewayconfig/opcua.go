package gatewayconfig

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/opcuaconn"
)

// OPCUA is an OPC UA server, and how it is read.
type OPCUA struct {
	opcuaconn.Config `yaml:",inline"`

	// subscribe: the server tells what changes; what it can't tell of is read all the
	// same. poll: everything is read again and again. Default: subscribe.
	Mode OPCUAMode `yaml:"mode"`

	// How often the server sends what has changed, or is read by mode poll; from 10ms to
	// 1h. Default: 1s.
	PublishEvery configfile.Duration `yaml:"publish_every"`

	// How often the server looks whether a value has changed; from 1ms to 1h.
	// Default: as publish_every.
	SampleEvery configfile.Duration `yaml:"sample_every"`

	// How long the server may send nothing while nothing changes; from 1s to 10m. Once it
	// has been silent for three times that, all of its signals are bad, and the connection
	// is made anew. Default: 5s.
	KeepAlive configfile.Duration `yaml:"keep_alive"`

	// How many values of each node the server keeps until it sends them; from 1 to 10000.
	// More than publish_every is times sample_every are never needed while it is
	// connected. Default: 10.
	Queue uint32 `yaml:"queue"`

	// Whether what came about while the server couldn't be reached is read from its
	// history, of nodes that have one: enabled or disabled. Default: enabled.
	History Switch `yaml:"history"`

	// Gives the deadbands of signals that are numbers to the server, too, so that it doesn't
	// send what is within them; then rules don't see that either. Some servers compare a
	// value with the one before it instead of the one sent last, and never tell of what
	// changes slowly. Default: false.
	ServerDeadband bool `yaml:"server_deadband"`

	// How often it is looked what the server has that is to be followed, beside when it
	// says that it has changed; from 10s to 24h. Default: 5m.
	FollowEvery configfile.Duration `yaml:"follow_every"`
}

// Alarms is what of an OPC UA server's conditions and events is read. A condition, such as
// an alarm, is a bool that is true while it is active; other events are texts.
type Alarms struct {
	// The node that tells of them, by its id, as node of a signal has it. Default: the
	// server itself, which tells of all that it has, i=2253.
	// Example: nsu=urn:example;s=Plant.
	Node string `yaml:"node"`

	// From which severity on, of 1 to 1000, conditions and events are read. A condition that
	// has had it once stays. Default: 1.
	Severity uint16 `yaml:"severity"`

	// Which of them: the names of what they come from and of the condition with a dot between,
	// or Event for other events, in which * stands for any part of a name and ** for any
	// number of names. Default: "**". Example: "T1.*".
	Match string `yaml:"match"`
}

// SetDefaults is called before an entry is read.
func (a *Alarms) SetDefaults() { a.Node, a.Severity = serverNode, 1 }

// OPCUAMode is how a server is read.
type OPCUAMode string

const (
	OPCUASubscribe OPCUAMode = "subscribe"
	OPCUAPoll      OPCUAMode = "poll"
)

// SetDefaults is called before a server is read.
func (o *OPCUA) SetDefaults() {
	o.Mode = OPCUASubscribe
	o.PublishEvery = configfile.Duration(time.Second)
	o.KeepAlive = configfile.Duration(5 * time.Second)
	o.Queue = 10
	o.History = Enabled
	o.FollowEvery = configfile.Duration(5 * time.Minute)
}

// fill sets what depends on other values.
func (o *OPCUA) fill() { o.SampleEvery = cmp.Or(o.SampleEvery, o.PublishEvery) }

const (
	opcuaTimeout  = configfile.Duration(10 * time.Second)
	objectsFolder = "i=85"
	serverNode    = "i=2253"
	mostSeverity  = 1000
	longestQueue  = 10_000
)

// OPCUAKeys is the directory of the gateway's own certificate for OPC UA servers. File
// names are relative to dir.
func (c Config) OPCUAKeys(dir string) string { return filepath.Join(c.Buffer.Path.In(dir), "opcua") }

func (k checker) checkOPCUA(path string, d Device) {
	o := d.OPCUA
	if o == nil {
		return
	}
	at := path + ".opcua"
	o.Config.Validate(k.File, at)
	if k.Has(path + ".poll_every") {
		k.Errorf(path+".poll_every", "a server tells by itself what changes, expected publish_every in opcua")
	}
	if o.Mode != OPCUASubscribe && o.Mode != OPCUAPoll {
		k.Errorf(at+".mode", "%q, expected %s or %s", o.Mode, OPCUASubscribe, OPCUAPoll)
	}
	hour := configfile.Duration(time.Hour)
	within(k, at+".publish_every", o.PublishEvery, millis(10), hour)
	within(k, at+".sample_every", o.SampleEvery, millis(1), hour)
	within(k, at+".keep_alive", o.KeepAlive, millis(1000), millis(600_000))
	within(k, at+".follow_every", o.FollowEvery, millis(10_000), longestPoll)
	if k.Has(at+".queue") && (o.Queue < 1 || o.Queue > longestQueue) {
		k.Errorf(at+".queue", "%d, expected 1 to %d", o.Queue, longestQueue)
	}
	if o.History != Enabled && o.History != Disabled {
		k.Errorf(at+".history", "%q, expected %s or %s", o.History, Enabled, Disabled)
	}
	for j, f := range d.Follow {
		at := configfile.Item(path+".follow", j)
		if _, err := opcua.ParseNode(f.Node); k.Has(at+".node") && err != nil {
			k.Errorf(at+".node", "%s", err)
		}
		if err := opcua.CheckPattern(f.Match); k.Has(at+".match") && err != nil {
			k.Errorf(at+".match", "%s", err)
		}
	}
	if len(d.Alarms) > 0 && o.Mode == OPCUAPoll {
		k.Errorf(path+".alarms", "a server that is polled doesn't tell of them, expected mode: %s in opcua", OPCUASubscribe)
	}
	for j, a := range d.Alarms {
		at := configfile.Item(path+".alarms", j)
		if _, err := opcua.ParseNode(a.Node); k.Has(at+".node") && err != nil {
			k.Errorf(at+".node", "%s", err)
		}
		if err := opcua.CheckPattern(a.Match); k.Has(at+".match") && err != nil {
			k.Errorf(at+".match", "%s", err)
		}
		if k.Has(at+".severity") && (a.Severity < 1 || a.Severity > mostSeverity) {
			k.Errorf(at+".severity", "%d, expected 1 to %d", a.Severity, mostSeverity)
		}
	}
}
