package cloud

import (
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/busbar/busbar/cloud/rollout"
	"github.com/busbar/busbar/cloud/uplink"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
)

// Config is the configuration file of the cloud, cloud.yaml. File names in it are
// relative to its directory.
type Config struct {
	// The operators' console and the API behind it.
	Console Console `yaml:"console"`

	// The log that gateways write to.
	Log Log `yaml:"log,required"`

	// The database.
	Store Store `yaml:"store,required"`

	// How telemetry is taken in.
	Ingest Ingest `yaml:"ingest"`

	// What is stored, as JSON in a topic of the log for others to read. Without it, none
	// is written. {} writes every sample.
	Measurements *Measurements `yaml:"measurements"`

	// What speaks for outages and against them, as JSON in a topic of the log for others to
	// read, keyed by substation. Without it, none is written. Example: {}.
	Evidence *Evidence `yaml:"evidence"`

	// Where gateways send to that don't reach the Kafka cluster. Without it,
	// nothing listens for them.
	Uplink *Uplink `yaml:"uplink"`

	// How people handle alarms, and how much work they may make.
	Alarms Alarms `yaml:"alarms"`

	// Which other systems are told of alarms.
	Notify Notify `yaml:"notify"`

	// From which other systems alarms are taken. Default: from none.
	Receive Receive `yaml:"receive"`

	// Who is sent the values of signals by Prometheus' remote write.
	RemoteWrite []RemoteWrite `yaml:"remote_write"`

	// The head-ends and systems of meter data whose reads and events of meters are taken,
	// by busbar-cloud import and from the topic busbar.import. Default: none.
	HeadEnds []HeadEnd `yaml:"head_ends"`

	// The page on which anybody can see where supply is out. Without it, none is written.
	Public *Public `yaml:"public"`
}

// Evidence has nothing to set.
type Evidence struct{}

// Log is either a Kafka cluster or the broker that this program brings along.
type Log struct {
	// A Kafka cluster.
	Kafka *kafkaconn.Config `yaml:"kafka"`

	// The embedded single-node broker, for trying Busbar out.
	Embedded *Embedded `yaml:"embedded"`

	// How many partitions the telemetry topic is created with, if it doesn't
	// exist; from 1 to 1000. Default: 4.
	Partitions int32 `yaml:"partitions"`

	// How many brokers keep each record of the topics that are created; from 1
	// to 100. 3 is meant for a cluster. Default: what the brokers are set to.
	Replicas int16 `yaml:"replicas"`

	// How many of them must have a record before it counts as written, at most
	// replicas. 2 is meant for a cluster: one broker may then fail, and nothing
	// that was written is lost with it. Default: what the brokers are set to.
	MinInSync int `yaml:"min_in_sync"`
}

// Embedded is a broker inside this process: one node, no replication.
type Embedded struct {
	// Where it listens, as host:port. It asks for no password, so only loopback
	// addresses are accepted. Default: 127.0.0.1:9092.
	Listen string `yaml:"listen"`

	// The directory of its files.
	Path configfile.Path `yaml:"path,required"`
}

// Ingest says how telemetry is taken in.
type Ingest struct {
	// How long samples are gathered before they are stored, from 10ms to 1m.
	// Alarms don't wait. Default: 1s.
	FlushEvery configfile.Duration `yaml:"flush_every"`
}

// Uplink is the HTTPS server for gateways. It takes nothing that an enrolled key
// hasn't signed.
type Uplink struct {
	// Where it listens, as host:port. Example: 0.0.0.0:443.
	Listen string `yaml:"listen,required"`

	// The certificate of the server and what leads to its authority, in PEM. A
	// renewed one is used from the next connection on. Example: uplink.crt.
	Cert configfile.Path `yaml:"cert,required"`

	// The private key of cert, in PEM. Example: uplink.key.
	Key configfile.Path `yaml:"key,required"`

	// How much one gateway may send in a second; beyond it, it is asked to wait.
	// From 1KiB to 1GiB. Default: 4MiB.
	MaxRate configfile.Size `yaml:"max_rate"`

	// The new versions that gateways fetch from here, at https://HOST/updates/FILE. Default:
	// none are served.
	Updates *Updates `yaml:"updates"`
}

// Updates is what flashed gateways fetch. All of it is signed elsewhere.
type Updates struct {
	// The directory with channels, their signatures and bundles, as busbar bundle makes
	// them. Example: /srv/busbar/updates.
	Dir configfile.Path `yaml:"dir,required"`

	// How many gateways may go back from a version before no further one gets it; at
	// least 1. Default: 3.
	MostRolledBack int `yaml:"most_rolled_back"`

	// Of a hundred gateways that have tried a version, how many may go back from it; 0 to
	// 100. No further one gets it once both limits are reached. Default: 5.
	MostRolledBackPercent int `yaml:"most_rolled_back_percent"`
}

// SetDefaults is called before the section is read.
func (u *Updates) SetDefaults() { u.MostRolledBack, u.MostRolledBackPercent = 3, 5 }

func (u Updates) limits() rollout.Limits {
	return rollout.Limits{RolledBack: u.MostRolledBack, Percent: u.MostRolledBackPercent}
}

// Rollout says from where on a version goes to no further gateway; nil: none is served.
func (c Config) Rollout() *rollout.Limits {
	if c.Uplink == nil || c.Uplink.Updates == nil {
		return nil
	}
	limits := c.Uplink.Updates.limits()
	return &limits
}

// SetDefaults is called before the section is read.
func (u *Uplink) SetDefaults() { u.MaxRate = uplink.DefaultMaxRate }

func (u Uplink) check(f *configfile.File) {
	if host, port, err := net.SplitHostPort(u.Listen); u.Listen != "" && (err != nil || host == "") {
		f.Errorf("uplink.listen", "%q, expected host:port such as 0.0.0.0:443", u.Listen)
	} else if n, err := strconv.ParseUint(port, 10, 16); u.Listen != "" && (err != nil || n == 0) {
		f.Errorf("uplink.listen", "port %q, expected a number from 1 to 65535", port)
	}
	if u.MaxRate < configfile.KiB || u.MaxRate > configfile.GiB {
		f.Errorf("uplink.max_rate", "%s is out of range, expected 1KiB to 1GiB", u.MaxRate)
	}
	if u.Updates != nil && u.Updates.MostRolledBack < 1 {
		f.Errorf("uplink.updates.most_rolled_back", "%d, expected 1 or more", u.Updates.MostRolledBack)
	}
	if u.Updates != nil && (u.Updates.MostRolledBackPercent < 0 || u.Updates.MostRolledBackPercent > 100) {
		f.Errorf("uplink.updates.most_rolled_back_percent", "%d, expected 0 to 100", u.Updates.MostRolledBackPercent)
	}
}

// SetDefaults is called before the section is read.
func (e *Embedded) SetDefaults() { e.Listen = "127.0.0.1:9092" }

// LoadConfig reads the configuration in the file at path. The error is
// configfile.Errors, with everything that is wrong, unless the file itself
// can't be read.
func LoadConfig(path string) (Config, error) {
	src, err := configfile.Read(path)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(path, src)
}

// ParseConfig is LoadConfig of a file whose bytes are src.
func ParseConfig(path string, src []byte) (Config, error) {
	c := Config{
		Console: Console{Listen: "127.0.0.1:8080"},
		Log:     Log{Partitions: 4},
		Ingest:  Ingest{FlushEvery: configfile.Duration(time.Second)},
		Alarms:  defaultAlarms(),
	}
	f, _ := configfile.Decode(path, src, &c)
	check(f, c)
	return c, f.Err()
}

func check(f *configfile.File, c Config) {
	c.Console.check(f)
	c.Store.Validate(f, "store")
	switch {
	case c.Log.Kafka != nil && c.Log.Embedded != nil:
		f.Errorf("log", "both kafka and embedded are given, expected one of them")
	case c.Log.Kafka != nil:
		c.Log.Kafka.Validate(f, "log.kafka")
	case c.Log.Embedded != nil:
		c.Log.Embedded.check(f, c)
	case f.Has("log"):
		f.Errorf("log", "neither kafka nor embedded is given, expected one of them")
	}
	if c.Log.Partitions < 1 || c.Log.Partitions > 1000 {
		f.Errorf("log.partitions", "%d is out of range, expected 1 to 1000", c.Log.Partitions)
	}
	for path, n := range map[string]int{"log.replicas": int(c.Log.Replicas), "log.min_in_sync": c.Log.MinInSync} {
		if f.Has(path) && (n < 1 || n > 100) {
			f.Errorf(path, "%d is out of range, expected 1 to 100", n)
		}
	}
	if r, n := int(c.Log.Replicas), c.Log.MinInSync; r > 0 && n > r {
		f.Errorf("log.min_in_sync", "%d of %d replicas can never be in sync", n, r)
	}
	c.Store.KeepDays.check(f)
	if c.Uplink != nil {
		c.Uplink.check(f)
	}
	if c.Measurements != nil {
		checkSignals(f, "measurements.signals", c.Measurements.Signals)
	}
	c.Alarms.check(f)
	c.Notify.check(f)
	if c.Public != nil {
		c.Public.check(f)
	}
	checkRemoteWrite(f, c.RemoteWrite)
	checkHeadEnds(f, c.HeadEnds)
	if d := time.Duration(c.Ingest.FlushEvery); d < 10*time.Millisecond || d > time.Minute {
		f.Errorf("ingest.flush_every", "%s is out of range, expected 10ms to 1m", c.Ingest.FlushEvery)
	}
}

func (e Embedded) check(f *configfile.File, c Config) {
	loopback(f, "log.embedded.listen", e.Listen)
	if e.Listen == c.Console.Listen {
		f.Errorf("log.embedded.listen", "%s is where the console listens, expected another port", e.Listen)
	}
	switch dir := f.Dir(); {
	case e.Path == "" && f.Has("log.embedded.path"):
		f.Errorf("log.embedded.path", "is empty, expected the name of a directory")
	case e.Path != "" && c.Store.Path != "" && filepath.Clean(e.Path.In(dir)) == filepath.Clean(c.Store.Path.In(dir)):
		f.Errorf("log.embedded.path", "%s is the file of the store, expected a directory of its own", e.Path)
	}
}

func loopback(f *configfile.File, path, address string) {
	if host, ok := hostPort(f, path, address); ok && !isLoopback(host) {
		f.Errorf(path, "%q is reachable from other machines and would ask nobody for a password, expected a loopback address such as 127.0.0.1", address)
	}
}
