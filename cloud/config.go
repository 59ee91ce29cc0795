package cloud

import (
	"fmt"
	"net"
	"os"
	"time"

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
}

// Console is the HTTP server.
type Console struct {
	// Where it listens, as host:port. There is no sign-in yet, so only loopback
	// addresses are accepted. Default: 127.0.0.1:8080.
	Listen string `yaml:"listen"`
}

// Log is either a Kafka cluster or the broker that this program brings along.
type Log struct {
	// A Kafka cluster.
	Kafka *kafkaconn.Config `yaml:"kafka"`

	// The embedded single-node broker, for trying Busbar out.
	Embedded *Embedded `yaml:"embedded"`

	// How many partitions the telemetry topic is created with, if it doesn't
	// exist; from 1 to 1000. Default: 4.
	Partitions int32 `yaml:"partitions"`
}

// Embedded is a broker inside this process: one node, no replication.
type Embedded struct {
	// Where it listens, as host:port. It asks for no password, so only loopback
	// addresses are accepted. Default: 127.0.0.1:9092.
	Listen string `yaml:"listen"`

	// The directory of its files.
	Path configfile.Path `yaml:"path,required"`
}

// Store is the database.
type Store struct {
	// The SQLite file, created if it is missing.
	// Example: /var/lib/busbar-cloud/busbar.db.
	Path configfile.Path `yaml:"path,required"`
}

// Ingest says how telemetry is taken in.
type Ingest struct {
	// How long samples are gathered before they are stored, from 10ms to 1m.
	// Alarms don't wait. Default: 1s.
	FlushEvery configfile.Duration `yaml:"flush_every"`
}

// SetDefaults is called before the section is read.
func (e *Embedded) SetDefaults() { e.Listen = "127.0.0.1:9092" }

// LoadConfig reads the configuration in the file at path. The error is
// configfile.Errors, with everything that is wrong, unless the file itself
// can't be read.
func LoadConfig(path string) (Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return ParseConfig(path, src)
}

// ParseConfig is LoadConfig of a file whose bytes are src.
func ParseConfig(path string, src []byte) (Config, error) {
	c := Config{
		Console: Console{Listen: "127.0.0.1:8080"},
		Log:     Log{Partitions: 4},
		Ingest:  Ingest{FlushEvery: configfile.Duration(time.Second)},
	}
	f, _ := configfile.Decode(path, src, &c)
	check(f, c)
	return c, f.Err()
}

func check(f *configfile.File, c Config) {
	loopback(f, "console.listen", c.Console.Listen)
	switch {
	case c.Log.Kafka != nil && c.Log.Embedded != nil:
		f.Errorf("log", "both kafka and embedded are given, expected one of them")
	case c.Log.Kafka != nil:
		c.Log.Kafka.Validate(f, "log.kafka")
	case c.Log.Embedded != nil:
		loopback(f, "log.embedded.listen", c.Log.Embedded.Listen)
	case f.Has("log"):
		f.Errorf("log", "neither kafka nor embedded is given, expected one of them")
	}
	if c.Log.Partitions < 1 || c.Log.Partitions > 1000 {
		f.Errorf("log.partitions", "%d is out of range, expected 1 to 1000", c.Log.Partitions)
	}
	if d := time.Duration(c.Ingest.FlushEvery); d < 10*time.Millisecond || d > time.Minute {
		f.Errorf("ingest.flush_every", "%s is out of range, expected 10ms to 1m", c.Ingest.FlushEvery)
	}
}

func loopback(f *configfile.File, path, address string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		f.Errorf(path, "%q, expected host:port such as 127.0.0.1:8080", address)
		return
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		f.Errorf(path, "%q is reachable from other machines and would ask nobody for a password, expected a loopback address such as 127.0.0.1", address)
	}
}
