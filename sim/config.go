package sim

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/script"
	"github.com/busbar/busbar/sim/simbench"
)

// Config is a simulation: what there is and what goes wrong.
type Config struct {
	Sim Settings `yaml:"sim"`
	// Devices are the meters.
	Devices []Device `yaml:"devices,required"`
	// Faults are the script, in any order.
	Faults []Fault `yaml:"faults"`
}

// Settings apply to the whole simulation.
type Settings struct {
	// Seed makes the noise. The same seed gives the same noise.
	Seed uint64 `yaml:"seed"`
	// Speed is how many seconds of load profile pass in a second; default 1.
	Speed float64 `yaml:"speed"`
	// TruthLog is a file that the truth is appended to; by default there is none.
	TruthLog configfile.Path `yaml:"truth_log"`
}

// Device is a three-phase meter on a feeder, read by Modbus TCP.
type Device struct {
	// ID is lower-case letters, digits and hyphens.
	ID     string `yaml:"id,required"`
	Feeder string `yaml:"feeder,required"`
	// Listen is host:port. Several devices with different units may share one.
	Listen string `yaml:"listen,required"`
	// Unit is the Modbus unit identifier, 1 to 247; default 1.
	Unit int `yaml:"unit"`
	// PoweredBy is "measured" if the meter lives on the voltage it measures,
	// "auxiliary" if it has a supply of its own; default measured.
	PoweredBy string `yaml:"powered_by"`
	// Product is what it is: a device profile that comes with Busbar, as busbar
	// profile list prints them, or a file that ends in .yaml; default
	// eastron/sdm630.
	Product string `yaml:"product"`
	// SunSpec are the models that it has instead, from register 40000 on.
	SunSpec []int `yaml:"sunspec"`
	// Profile is the name of a SimBench load profile, such as H0-A.
	Profile string `yaml:"profile,required"`
	// RatedPower is the power at which the profile is 1, in W, kW or MW.
	RatedPower configfile.Quantity `yaml:"rated_power,required"`
}

// SetDefaults implements configfile.Defaulter.
func (d *Device) SetDefaults() { d.Unit, d.PoweredBy = 1, Measured }

// What a device is powered by.
const (
	Measured  = "measured"
	Auxiliary = "auxiliary"
)

// Fault is one entry of the script.
type Fault struct {
	// At is the time since the start; default 0s.
	At configfile.Duration `yaml:"at"`
	// For is how long it lasts; by default to the end.
	For configfile.Duration `yaml:"for"`
	// Kind is outage, of a feeder, or misbehave, of a device.
	Kind   string `yaml:"kind,required"`
	Feeder string `yaml:"feeder"`
	Device string `yaml:"device"`
	// How a device misbehaves, such as "late=2s,every=5; duplicate": what busbar-sim
	// modbus --misbehave takes.
	How string `yaml:"how"`
}

// LoadConfig reads the configuration in the file at path. The error is
// configfile.Errors, with everything that is wrong, or configfile.ReadError if the
// file itself can't be read.
func LoadConfig(path string) (Config, error) {
	src, err := configfile.Read(path)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(path, src)
}

// ParseConfig is LoadConfig of a file whose bytes are src. Its truth_log is
// relative to the directory of path.
func ParseConfig(path string, src []byte) (Config, error) {
	c := Config{Sim: Settings{Speed: 1}}
	f, _ := configfile.Decode(path, src, &c)
	unreadable := f.Broken("devices")
	for i := range c.Devices {
		if d := &c.Devices[i]; strings.HasSuffix(d.Product, ".yaml") {
			d.Product = configfile.Path(d.Product).In(f.Dir())
		}
	}
	c.check(func(path, format string, args ...any) {
		if unreadable && strings.HasPrefix(path, "faults[") && (strings.HasSuffix(path, ".feeder") || strings.HasSuffix(path, ".device")) {
			return // the feeder or device it misses may be one that could not be read
		}
		f.Errorf(path, format, args...)
	})
	if err := f.Err(); err != nil {
		return Config{}, err
	}
	c.Sim.TruthLog = configfile.Path(c.Sim.TruthLog.In(f.Dir()))
	return c, nil
}

// validate is check for a configuration that wasn't read from a file.
func (c Config) validate() error {
	var problems []error
	c.check(func(path, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	})
	return errors.Join(problems...)
}

const maxSpeed = 31 * 24 * 60 // a month of profile in a minute

var (
	identifier = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	watts      = map[string]float64{"W": 1, "kW": 1e3, "MW": 1e6}
)

func (c Config) check(report func(path, format string, args ...any)) {
	if !(c.Sim.Speed > 0 && c.Sim.Speed <= maxSpeed) {
		report("sim.speed", "%v is not above 0 and up to %d", c.Sim.Speed, maxSpeed)
	}
	if len(c.Devices) == 0 {
		report("devices", "the list is empty, expected a device")
	}
	ids, places := map[string]int{}, map[string]int{}
	for i, d := range c.Devices {
		at := configfile.Item("devices", i)
		d.check(func(key, format string, args ...any) { report(configfile.Join(at, key), format, args...) })
		if first, twice := ids[d.ID]; twice {
			report(configfile.Join(at, "id"), "%q is already the id of devices[%d]", d.ID, first)
		} else {
			ids[d.ID] = i
		}
		place := fmt.Sprintf("unit %d at %s", d.Unit, d.Listen)
		if first, twice := places[place]; twice {
			report(configfile.Join(at, "unit"), "devices[%d] is already %s", first, place)
		} else {
			places[place] = i
		}
	}
	var problems script.Problems
	if _, err := c.script(); errors.As(err, &problems) {
		for _, p := range problems {
			report(configfile.Join(configfile.Item("faults", p.Fault), p.Field), "%s", p.Message)
		}
	}
	for i, f := range c.Faults {
		if _, err := parseHow(f.How); err != nil {
			report(configfile.Join(configfile.Item("faults", i), "how"), "%v", err)
		}
	}
}

func (d Device) check(report func(key, format string, args ...any)) {
	for _, name := range [][2]string{{"id", d.ID}, {"feeder", d.Feeder}} {
		if !identifier.MatchString(name[1]) {
			report(name[0], "%q is not 1 to 63 lower-case letters, digits and hyphens", name[1])
		}
	}
	if _, port, err := net.SplitHostPort(d.Listen); err != nil {
		report("listen", "%q is not host:port, like 127.0.0.1:15021", d.Listen)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		report("listen", "%q is no port from 0 to 65535", port)
	}
	if d.Unit < 1 || d.Unit > 247 {
		report("unit", "%d is not from 1 to 247", d.Unit)
	}
	if d.PoweredBy != Measured && d.PoweredBy != Auxiliary {
		report("powered_by", "%q is neither %s nor %s", d.PoweredBy, Measured, Auxiliary)
	}
	if _, err := simbench.Load(d.Profile); err != nil {
		report("profile", "%v", err)
	}
	if d.Product != "" && len(d.SunSpec) > 0 {
		report("sunspec", "product is given too, expected one of them")
	}
	if _, err := d.product(); err != nil && len(d.SunSpec) > 0 {
		report("sunspec", "%v", err)
	} else if err != nil {
		report("product", "%v", err)
	}
	if _, ok := watts[d.RatedPower.Unit]; !ok || d.RatedPower.Value <= 0 {
		report("rated_power", "%q is no power above 0 in W, kW or MW, like 60 kW", d.RatedPower)
	}
}

// product is what the device has in its registers.
func (d Device) product() (*devices.Product, error) {
	if len(d.SunSpec) == 0 {
		return devices.LoadProduct(cmp.Or(d.Product, "eastron/sdm630"))
	}
	var models []string
	for _, id := range d.SunSpec {
		models = append(models, fmt.Sprintf("sunspec/%d", id))
	}
	return devices.LoadProduct(models...)
}

func (c Config) script() (*script.Script, error) {
	var devices []script.Device
	for _, d := range c.Devices {
		devices = append(devices, script.Device{ID: d.ID, Feeder: d.Feeder, SelfPowered: d.PoweredBy == Measured})
	}
	return script.New(devices, c.faults())
}

func (c Config) faults() []script.Fault {
	var faults []script.Fault
	for _, f := range c.Faults {
		faults = append(faults, script.Fault{
			At: time.Duration(f.At), For: time.Duration(f.For), Kind: script.Kind(f.Kind),
			Feeder: f.Feeder, Device: f.Device, How: f.How,
		})
	}
	return faults
}
