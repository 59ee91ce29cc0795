package gatewayconfig

import (
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
)

// Demand is what a configuration asks of buses, disk and link.
type Demand struct {
	Buses   []BusDemand // by endpoint; who shares no bus with others isn't among them
	Values  float64     // read in a second, without those that come by change
	Telling int         // devices whose values come by change: how many isn't known before
}

// BusDemand is what the devices of one endpoint ask of it together.
type BusDemand struct {
	Endpoint string
	Devices  int
	modbus.Demand
}

// What a value takes, measured with noise (docs/reliability.md): more is
// assumed than any of the measurements needed.
const (
	storedPerValue = 2.6 // bytes, in the buffer
	sentPerValue   = 1.1 // bytes, signed
)

// Demand is that of a valid configuration.
func (c Config) Demand() Demand {
	var l Demand
	buses := map[string]*BusDemand{}
	for _, d := range c.Devices {
		if d.ByChange() {
			l.Telling++
		} else {
			l.Values += float64(len(d.Signals)) / time.Duration(d.PollEvery).Seconds()
		}
		name := d.bus()
		if name == "" {
			continue
		}
		b := buses[name]
		if b == nil {
			b = &BusDemand{Endpoint: name}
			buses[name] = b
		}
		demand := d.ModbusDevice().Demand()
		b.Devices++
		b.Requests += demand.Requests
		b.Registers += demand.Registers
		b.Busy += demand.Busy
	}
	for _, name := range slices.Sorted(maps.Keys(buses)) {
		l.Buses = append(l.Buses, *buses[name])
	}
	return l
}

// bus is the address or line that the device is reached by, "" if the endpoint is none.
func (d Device) bus() string {
	if d.Modbus == nil {
		return ""
	}
	e, err := modbus.ParseEndpoint(d.Modbus.Endpoint)
	if err != nil {
		return ""
	}
	return string(e.Transport) + "://" + e.Address
}

// SentPerDay is how many bytes go to the log in a day, without the protocol
// around them, if every value is stored.
func (l Demand) SentPerDay() configfile.Size {
	return configfile.Size(l.Values * sentPerValue * 86400)
}

// Holds is how long a buffer keeps everything while the log is away, before it
// thins.
func (l Demand) Holds(b Buffer) time.Duration {
	room := 0.8 * float64(b.MaxSize-b.ReserveForEvents)
	hours := room / (l.Values * storedPerValue) / 3600
	if hours > 24*365 {
		hours = 24 * 365
	}
	return time.Duration(hours * float64(time.Hour))
}
