package lake

import (
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/busbar/busbar/cloud/database"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
)

// Config is the configuration file of the lake, lake.yaml. File names in it are relative to its
// directory.
type Config struct {
	// The log that gateways write to.
	Log Log `yaml:"log,required"`

	// The cloud's database, which says whose keys are valid. Nothing else is read from it.
	Store database.Config `yaml:"store,required"`

	// Where the table is.
	Table Table `yaml:"table,required"`

	// How samples are gathered.
	Commit Commit `yaml:"commit"`

	// Where /metrics, /healthz, /readyz and /livez are answered, as host:port. Default:
	// 127.0.0.1:9465.
	Listen string `yaml:"listen"`
}

// Log is a Kafka cluster.
type Log struct {
	// The cluster.
	Kafka kafkaconn.Config `yaml:"kafka,required"`
}

// Table is a directory or a place in an object store.
type Table struct {
	// The directory of the table, which is made if it is missing.
	Path configfile.Path `yaml:"path"`

	// A store that speaks S3, in place of the directory.
	S3 *S3 `yaml:"s3"`
}

// S3 is a place in an object store.
type S3 struct {
	// The server, as https://host:port. Example: https://s3.eu-central-1.amazonaws.com.
	Endpoint string `yaml:"endpoint,required"`

	// The region that requests are signed for. Default: us-east-1.
	Region string `yaml:"region"`

	// The bucket, which exists.
	Bucket string `yaml:"bucket,required"`

	// What the names of the table's files begin with. Example: lake/samples.
	Prefix string `yaml:"prefix"`

	// Whether the bucket is named in the path and not in the host. Default: true.
	PathStyle bool `yaml:"path_style"`

	// The file that holds the access key's id.
	AccessKeyFile configfile.Path `yaml:"access_key_file,required"`

	// The file that holds its secret.
	SecretKeyFile configfile.Path `yaml:"secret_key_file,required"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system.
	CA configfile.Path `yaml:"ca"`

	// Accepts http:// to other machines: everybody on the way can then read and change
	// what is stored. Default: false.
	Insecure bool `yaml:"insecure"`
}

// ExplainKey refuses a secret that stands in the configuration itself.
func (S3) ExplainKey(key string) string {
	if key == "access_key" || key == "secret_key" {
		return "a secret never stands in a configuration; put it in a file and name it with " + key + "_file"
	}
	return ""
}

// SetDefaults is called before the section is read.
func (s *S3) SetDefaults() { s.Region, s.PathStyle = "us-east-1", true }

// Commit says how samples are gathered.
type Commit struct {
	// The longest that a sample waits, from 1s to 1h. Default: 5m.
	Every configfile.Duration `yaml:"every"`

	// After how much in files a commit doesn't wait for more, from 1MiB to 4GiB. Default: 256MiB.
	Size configfile.Size `yaml:"size"`

	// How many samples are held in memory, and are a row group of a file, from 1000 to
	// 10000000; each takes 64 bytes, and its columns while they are written. Default: 500000.
	Rows int `yaml:"rows"`

	// The directory of the files until then. Default: that of the system for temporary files.
	Spool configfile.Path `yaml:"spool"`
}

// LoadConfig reads the configuration in the file at path. The error is configfile.Errors, with
// everything that is wrong, unless the file itself can't be read.
func LoadConfig(path string) (Config, error) {
	src, err := configfile.Read(path)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(path, src)
}

// ParseConfig is LoadConfig of a file whose bytes are src.
func ParseConfig(path string, src []byte) (Config, error) {
	c := Config{Listen: "127.0.0.1:9465", Commit: Commit{Every: configfile.Duration(5 * time.Minute), Size: 256 << 20, Rows: 500_000}}
	f, _ := configfile.Decode(path, src, &c)
	if f.Has("log.kafka") {
		c.Log.Kafka.Validate(f, "log.kafka")
	}
	c.Store.Validate(f, "store")
	switch {
	case c.Table.Path != "" && c.Table.S3 != nil:
		f.Errorf("table", "both path and s3 are given, expected one of them")
	case c.Table.Path == "" && c.Table.S3 == nil && f.Has("table"):
		f.Errorf("table", "neither path nor s3 is given, expected one of them")
	}
	if s := c.Table.S3; s != nil && s.Endpoint != "" {
		if err := s.endpoint().Check(); err != nil {
			f.Errorf("table.s3.endpoint", "%v", err)
		}
	}
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || host == "" {
		f.Errorf("listen", "%q, expected host:port such as 127.0.0.1:9465", c.Listen)
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		f.Errorf("listen", "port %q, expected a number from 1 to 65535", port)
	}
	if d := time.Duration(c.Commit.Every); d < time.Second || d > time.Hour {
		f.Errorf("commit.every", "%s is out of range, expected 1s to 1h", c.Commit.Every)
	}
	if c.Commit.Size < 1<<20 || c.Commit.Size > 4<<30 {
		f.Errorf("commit.size", "%s is out of range, expected 1MiB to 4GiB", c.Commit.Size)
	}
	if c.Commit.Rows < 1000 || c.Commit.Rows > 10_000_000 {
		f.Errorf("commit.rows", "%d is out of range, expected 1000 to 10000000", c.Commit.Rows)
	}
	return c, f.Err()
}

func (s S3) endpoint() object.S3Config {
	return object.S3Config{Endpoint: s.Endpoint, Region: s.Region, Bucket: s.Bucket, Prefix: s.Prefix, PathStyle: s.PathStyle, Insecure: s.Insecure}
}

// Open opens where the table is, and makes the directory. dir is that of the configuration.
func (t Table) Open(dir string) (object.Store, error) {
	if t.S3 == nil {
		return object.OpenDirectory(t.Path.In(dir))
	}
	return t.Find(dir)
}

// Find is Open, but makes no directory.
func (t Table) Find(dir string) (object.Store, error) {
	if t.S3 == nil {
		return object.FindDirectory(t.Path.In(dir))
	}
	c := t.S3.endpoint()
	c.AccessKeyFile, c.SecretKeyFile, c.CA = t.S3.AccessKeyFile.In(dir), t.S3.SecretKeyFile.In(dir), t.S3.CA.In(dir)
	return object.OpenS3(c)
}

// spool is the directory of files that aren't committed.
func (c Commit) spool(dir string) string {
	if c.Spool == "" {
		return ""
	}
	return filepath.Clean(c.Spool.In(dir))
}
