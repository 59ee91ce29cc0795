package gatewayconfig

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
)

var (
	fleetName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

const (
	fleetNameExpected = "expected 1 to 63 lower-case letters, digits and hyphens, the first no hyphen"
	plainNameExpected = "expected 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit"
)

// checker adds to the file what is wrong with the meaning of its values.
type checker struct {
	*configfile.File
	config *Config
	dir    string // that file names are relative to
	read   func(file string) ([]byte, error)
	assets map[string]bool
}

func newChecker(f *configfile.File, c *Config, dir string, read func(file string) ([]byte, error)) checker {
	return checker{File: f, config: c, dir: dir, read: read, assets: map[string]bool{}}
}

func (k checker) check() {
	c := k.config
	k.fleetName("gateway.id", c.Gateway.ID)
	if k.Has("gateway.key") && c.Gateway.Key == "" {
		k.Errorf("gateway.key", "empty, expected the name of a file")
	}
	if k.Has("gateway.commands.key") && c.Gateway.Commands.Key == "" {
		k.Errorf("gateway.commands.key", "empty, expected the name of a file")
	}
	if s := c.Gateway.Control; s != Enabled && s != Disabled {
		k.Errorf("gateway.control", "%q, expected %s or %s", s, Enabled, Disabled)
	}
	k.name("gateway.site", c.Gateway.Site)
	k.name("gateway.feeder", c.Gateway.Feeder)
	k.name("gateway.uplink", c.Gateway.Uplink)
	k.name("gateway.zone", c.Gateway.Zone)
	k.checkForward()
	k.checkServe()
	within(k, "forward.backfill.max_rate", c.Forward.Backfill.MaxRate, configfile.KiB, configfile.GiB)
	if k.Has("buffer.path") && c.Buffer.Path == "" {
		k.Errorf("buffer.path", "empty, expected a directory")
	}
	within(k, "buffer.max_size", c.Buffer.MaxSize, 16*configfile.MiB, 1024*configfile.GiB)
	within(k, "buffer.reserve_for_events", c.Buffer.ReserveForEvents, configfile.MiB, c.Buffer.MaxSize/4)
	within(k, "buffer.commit_every", c.Buffer.CommitEvery, millis(10), millis(60_000))
	k.listen("status.listen", c.Status.Listen)
	k.checkNetwork()
	if s := c.Time.Source; s != SourceKernel && s != SourceAssumed {
		k.Errorf("time.source", "%q, expected %s or %s", s, SourceKernel, SourceAssumed)
	}
	k.checkServers("time.ntp", c.Time.NTP)
	within(k, "time.max_hold", c.Time.MaxHold, 0, configfile.Duration(24*time.Hour))
	k.checkUpdate()
	within(k, "defaults.poll_every", c.Defaults.PollEvery, shortestPoll, longestPoll)
	within(k, "defaults.timeout", c.Defaults.Timeout, shortestTimeout, longestTimeout)
	k.checkAssets()
	k.checkDevices()
	k.checkMains()
}

func (k checker) checkForward() {
	f := k.config.Forward
	switch {
	case f.Kafka != nil && f.Uplink != nil:
		k.Errorf("forward", "both kafka and uplink are given, expected one of them")
	case f.Kafka == nil && f.Uplink == nil && k.Has("forward") && !k.Broken("forward"):
		k.Errorf("forward", "neither kafka nor uplink is given, expected one of them")
	}
	if f.Kafka != nil {
		f.Kafka.Validate(k.File, "forward.kafka")
	}
	if u := f.Uplink; u != nil {
		if address, err := url.Parse(u.URL); u.URL != "" && (err != nil || address.Scheme != "https" || address.Hostname() == "") {
			k.Errorf("forward.uplink.url", "%q, expected https://host", u.URL)
		}
		if u.Proxy != nil {
			u.Proxy.Validate(k.File, "forward.uplink.proxy")
		}
	}
}

const (
	shortestPoll    = configfile.Duration(time.Millisecond)
	longestPoll     = configfile.Duration(24 * time.Hour)
	shortestTimeout = configfile.Duration(time.Millisecond)
	longestTimeout  = configfile.Duration(time.Minute)
)

func millis(n int64) configfile.Duration {
	return configfile.Duration(n) * configfile.Duration(time.Millisecond)
}

// within checks a value that the file gives against its bounds.
func within[T interface {
	cmp.Ordered
	String() string
}](k checker, path string, v, least, most T) {
	if k.Has(path) && (v < least || v > most) {
		k.Errorf(path, "%s is out of range, expected %s to %s", v, least, most)
	}
}

func (k checker) fleetName(path, name string) {
	if k.Has(path) && !fleetName.MatchString(name) {
		k.Errorf(path, "%q, %s", name, fleetNameExpected)
	}
}

func (k checker) name(path, name string) {
	if k.Has(path) && !plainName.MatchString(name) {
		k.Errorf(path, "%q, %s", name, plainNameExpected)
	}
}

func (k checker) listen(path, address string) {
	host, port, err := net.SplitHostPort(address)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		k.Errorf(path, "%q, expected host:port such as 127.0.0.1:9464", address)
		return
	}
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		k.Errorf(path, "%q, expected an address of this machine such as 127.0.0.1:9464, or 0.0.0.0:9464 for all it has", address)
	}
}

// hostName is a name as DNS has it.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$`)

// maxServers bounds the time servers: more don't make the time better.
const maxServers = 16

// checkServers checks a list of time servers.
func (k checker) checkServers(path string, servers []string) {
	if len(servers) > maxServers {
		k.Errorf(path, "%d servers, expected at most %d", len(servers), maxServers)
	}
	first := map[string]int{}
	for i, s := range servers {
		at := configfile.Item(path, i)
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = strings.Trim(s, "[]"), "123"
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if address, _, _ := strings.Cut(host, "%"); err != nil || number == 0 || net.ParseIP(address) == nil && !hostName.MatchString(host) {
			k.Errorf(at, "%q, expected host or host:port such as 10.0.0.1 or ntp.example:123", s)
			continue
		}
		same := strings.ToLower(net.JoinHostPort(host, port))
		if j, twice := first[same]; twice {
			k.Errorf(at, "%q is %s[%d] already, expected another server: one that is asked twice would count twice", s, path, j)
			continue
		}
		first[same] = i
	}
}

func (k checker) checkAssets() {
	first := map[string]int{}
	parents := map[string]string{}
	for i, a := range k.config.Assets {
		path := configfile.Item("assets", i)
		k.name(path+".id", a.ID)
		k.name(path+".kind", a.Kind)
		if j, twice := first[a.ID]; twice && a.ID != "" {
			k.Errorf(path+".id", "%q is assets[%d] already, expected an id of its own", a.ID, j)
			continue
		}
		first[a.ID] = i
		parents[a.ID] = a.Parent
		k.assets[a.ID] = true
		k.quantity(path+".nominal_voltage", a.NominalVoltage, "V", "400 V or 20 kV")
		k.quantity(path+".rated_current", a.RatedCurrent, "A", "250 A or 1.2 kA")
	}
	for i, a := range k.config.Assets {
		path := configfile.Item("assets", i) + ".parent"
		if a.Parent == "" {
			k.name(path, a.Parent)
			continue
		}
		k.assetExists(path, a.Parent)
		for up, steps := a.Parent, 0; up != "" && steps <= len(parents); up, steps = parents[up], steps+1 {
			if up == a.ID {
				k.Errorf(path, "%q is below %q itself, expected an asset that feeds or contains it", a.Parent, a.ID)
				break
			}
		}
	}
}

// assetExists checks a reference to an asset. Without a list of assets, every
// name will do.
func (k checker) assetExists(path, id string) {
	if !k.Has("assets") {
		k.name(path, id)
		return
	}
	if k.assets[id] || k.Broken("assets") {
		return
	}
	if nearest := configfile.Nearest(id, slices.Sorted(maps.Keys(k.assets))); nearest != "" {
		k.Errorf(path, "there is no asset %q in assets, did you mean %q?", id, nearest)
		return
	}
	k.Errorf(path, "there is no asset %q in assets, expected one that is listed", id)
}

func (k checker) quantity(path string, q *configfile.Quantity, unit, example string) {
	if q != nil && (q.Value <= 0 || q.Unit != unit && q.Unit != "k"+unit) {
		k.Errorf(path, "%q, expected a number above 0 in %s or k%s, like %s", q, unit, unit, example)
	}
}
