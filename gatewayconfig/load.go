package gatewayconfig

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/configfile"
)

// Load reads the configuration in the file at path. The error is
// configfile.Errors, with everything that is wrong, or configfile.ReadError if
// the file itself can't be read.
func Load(path string) (Config, error) {
	src, err := configfile.Read(path)
	if err != nil {
		return Config{}, err
	}
	return Parse(path, src)
}

// Parse is Load of a file whose bytes are src; path is where they come from.
func Parse(path string, src []byte) (Config, error) {
	return ParseIn(filepath.Dir(path), path, src, configfile.Read)
}

// ParseIn is Parse of a file that is meant for another directory, dir, which its file
// names are relative to. The profiles that are files are read by read, whose error is
// as that of configfile.Read.
func ParseIn(dir, path string, src []byte, read func(file string) ([]byte, error)) (Config, error) {
	c := defaults()
	f, _ := configfile.Decode(path, src, &c)
	k := newChecker(f, &c, dir, read)
	k.resolveProfiles()
	k.resolveLists()
	k.check()
	c.fill()
	k.checkRequests()
	if k.modelIsRight() {
		k.checkRules()
		k.checkControl()
		k.checkOperations()
		k.checkStation()
	}
	if err := f.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// DefaultListen is where the status page is, unless a configuration says otherwise.
const DefaultListen = "127.0.0.1:9464"

func defaults() Config {
	var c Config
	c.Buffer.MaxSize = configfile.GiB
	c.Status.Listen = DefaultListen
	c.Gateway.Control = Disabled
	c.Time.Source = SourceKernel
	c.Time.MaxHold = configfile.Duration(10 * time.Minute)
	c.Update.Every = configfile.Duration(time.Hour)
	c.Update.ConfirmWithin = configfile.Duration(10 * time.Minute)
	c.Defaults.PollEvery = configfile.Duration(time.Second)
	c.Defaults.Timeout = configfile.Duration(time.Second)
	return c
}

// SetDefaults is called before a device is read.
func (d *Device) SetDefaults() { d.PoweredBy = Unknown }

// SetDefaults is called before a device's Modbus address is read.
func (m *Modbus) SetDefaults() { m.Unit = 1 }

// fill sets what depends on other values.
func (c *Config) fill() {
	if c.Gateway.Key == "" {
		c.Gateway.Key = configfile.Path(filepath.Join(string(c.Buffer.Path), "gateway.key"))
	}
	if c.Buffer.ReserveForEvents == 0 {
		c.Buffer.ReserveForEvents = min(64*configfile.MiB, c.Buffer.MaxSize/4)
	}
	if k := c.Forward.Kafka; k != nil && k.TopicPrefix == "" {
		k.TopicPrefix = "busbar"
	}
	if m := c.Serve.MQTT; m != nil && m.ClientID == "" {
		m.ClientID = c.Gateway.ID
	}
	if s := c.Serve.Sparkplug; s != nil {
		if s.ClientID == "" {
			s.ClientID = c.Gateway.ID + "-sparkplug"
		}
		if s.Node == "" {
			s.Node = c.Gateway.ID
		}
	}
	for i := range c.Devices {
		d := &c.Devices[i]
		if d.Asset == "" {
			d.Asset = d.ID
		}
		if d.Sparkplug != nil && d.Sparkplug.ClientID == "" { // a broker takes one connection of each
			d.Sparkplug.ClientID = c.Gateway.ID + "-" + d.ID
		}
		if d.PollEvery == 0 && !d.ByChange() {
			d.PollEvery = c.Defaults.PollEvery
		}
		if o := d.OPCUA; o != nil {
			o.fill()
			d.Timeout = cmp.Or(d.Timeout, opcuaTimeout)
			for j := range d.Follow {
				d.Follow[j].Node = cmp.Or(d.Follow[j].Node, objectsFolder)
			}
		}
		if d.IEC101 != nil {
			d.IEC101.fill()
		}
		if d.telecontrol() != nil {
			d.Timeout = cmp.Or(d.Timeout, iec104Timeout)
		}
		if d.Meter() {
			d.Timeout = cmp.Or(d.Timeout, meterTimeouts[d.speaks()])
		}
		if d.Timeout == 0 && !d.ByChange() {
			d.Timeout = c.Defaults.Timeout
		}
		if d.MQTT != nil {
			d.fillMQTT(c.Gateway.ID)
		}
		for j := range d.Signals {
			d.Signals[j].Fill()
		}
	}
}
