package gateway

import (
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/iec104"
	"github.com/busbar/busbar/adapters/meter"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/adapters/nut"
	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/adapters/sparkplug"
	"github.com/busbar/busbar/adapters/sparkplug/host"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/deadband"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// devices is the configuration as the adapters, the rules and the signal table
// see it. Signals have the order of gatewayconfig.Config.Model everywhere.
type devices struct {
	config      gatewayconfig.Config // with what devices have told of themselves, until it is lean
	model       rules.Model
	definitions []buffer.Definition
	list        []device // in the configuration's order, and then the gateway itself

	modbus    []modbus.Device
	nut       []nut.Device
	gpio      []gpio.Device
	opcua     []opcua.Device
	mqtt      []mqtt.Device
	sparkplug []sparkplug.Device
	iec104    []iec104.Device // and those of iec101
	meters    []meter.Device
}

// device is one of the configuration, whatever it is read by.
type device struct {
	id      string
	every   time.Duration // 0: it says by itself what changes
	signals []telemetry.SignalID
	written int                // of the signals, the first; the rest it has told of itself
	live    telemetry.SignalID // 0: none, as of the gateway itself
}

// newDevices is those of a configuration whose file names are relative to dir.
func newDevices(config gatewayconfig.Config, dir string) devices {
	d := devices{config: config, model: config.Model()}
	encodings := make([]string, 0, len(d.model.Signals))
	for _, c := range config.Devices {
		for _, s := range c.Signals {
			encodings = append(encodings, encoding(s))
		}
		encodings = append(encodings, "live")
		d.list = append(d.list, device{id: c.ID, every: time.Duration(c.PollEvery), written: len(c.Written())})
	}
	d.list = append(d.list, device{id: config.Gateway.ID})
	for len(encodings) < len(d.model.Signals) {
		encodings = append(encodings, "own")
	}
	d.definitions = make([]buffer.Definition, 0, len(d.model.Signals))
	for i, s := range d.model.Signals {
		d.definitions = append(d.definitions, buffer.Definition{Signal: s, Encoding: encodings[i]})
	}
	ids := make([]telemetry.SignalID, len(d.model.Signals))
	for i, s := range d.model.Signals {
		ids[i] = s.ID
	}
	d.assign(dir, ids)
	return d
}

// encoding is how a signal's values come about. Where it changes, the signal is
// another one.
func encoding(s gatewayconfig.Signal) string {
	if s.Found != "" {
		return s.Found
	}
	text := fmt.Sprintf("%s*%v%+v", s.Type, s.Scale, s.Offset)
	if s.Bit != nil {
		text += fmt.Sprintf(".%d", *s.Bit)
	}
	if s.Mask != 0 {
		text += fmt.Sprintf("&%#x", s.Mask)
	}
	if s.Factor != nil {
		text += "*factor"
	}
	if s.ActiveLow {
		text += "!"
	}
	return text
}

// assign gives every signal its id.
func (d *devices) assign(dir string, ids []telemetry.SignalID) {
	for i := range ids {
		d.model.Signals[i].ID = ids[i]
	}
	d.modbus, d.nut, d.gpio, d.opcua, d.mqtt, d.sparkplug, d.iec104, d.meters = nil, nil, nil, nil, nil, nil, nil, nil
	for i, c := range d.config.Devices {
		n := len(c.Signals)
		signals, live := ids[:n:n], ids[n]
		ids = ids[n+1:]
		d.list[i].signals, d.list[i].live = signals, live
		c.Signals = c.Written()
		switch {
		case c.Modbus != nil:
			m := c.ModbusDevice()
			m.Live = live
			for j := range m.Points {
				m.Points[j].Signal = signals[j]
			}
			d.modbus = append(d.modbus, m)
		case c.NUT != nil:
			u := c.NUTDevice(dir)
			u.Live = live
			for j := range u.Points {
				u.Points[j].Signal = signals[j]
			}
			d.nut = append(d.nut, u)
		case c.GPIO != nil:
			g := c.GPIODevice()
			g.Live = live
			for j := range g.Lines {
				g.Lines[j].Signal = signals[j]
			}
			d.gpio = append(d.gpio, g)
		case c.OPCUA != nil:
			o := c.OPCUADevice(dir, d.config.OPCUAKeys(dir))
			o.Live = live
			for j := range o.Points {
				o.Points[j].Signal = signals[j]
			}
			d.opcua = append(d.opcua, o)
		case c.MQTT != nil:
			m := c.MQTTDevice(dir)
			m.Live = live
			for j := range m.Points {
				m.Points[j].Signal = signals[j]
			}
			d.mqtt = append(d.mqtt, m)
		case c.Sparkplug != nil:
			s := c.SparkplugDevice(dir)
			s.Live = live
			if own := d.config.Serve.Sparkplug; own != nil {
				s.Own = host.Node{Group: own.Group, Name: own.Node}
			}
			d.sparkplug = append(d.sparkplug, s)
		case c.IEC104 != nil, c.IEC101 != nil:
			s := c.TelecontrolDevice(dir)
			s.Live = live
			for j := range s.Points {
				s.Points[j].Signal = signals[j]
			}
			d.iec104 = append(d.iec104, s)
		case c.Meter():
			m := c.MeterDevice(dir)
			m.Live = live
			for j := range m.Points {
				m.Points[j].Signal = signals[j]
			}
			d.meters = append(d.meters, m)
		}
	}
	d.list[len(d.list)-1].signals = ids
}

// share has the model's signals be those of the table, if it has the same in this order, as
// after a first start.
func (d *devices) share(table []telemetry.Signal) {
	if n := len(d.model.Signals); n > 0 {
		first := int(d.model.Signals[0].ID) - 1
		if first+n > len(table) {
			return
		}
		for i, s := range d.model.Signals {
			if int(s.ID) != first+i+1 {
				return
			}
		}
		d.model.Signals = table[first : first+n : first+n]
	}
}

// writtenOn is the names of the signals of a device that are written down.
func (d *devices) writtenOn(id string) map[string]bool {
	names := map[string]bool{}
	n := 0
	for _, c := range d.list {
		if c.id == id {
			for _, s := range d.model.Signals[n : n+c.written] {
				names[s.Name] = true
			}
		}
		n += len(c.signals) + 1
	}
	return names
}

// foundOn is the ids of the signals that a device has told of itself, by name.
func (d *devices) foundOn(id string) map[string]telemetry.SignalID {
	ids := map[string]telemetry.SignalID{}
	n := 0
	for _, c := range d.list {
		if c.id == id {
			for j := c.written; j < len(c.signals); j++ {
				s := d.model.Signals[n+j]
				ids[s.Name] = s.ID
			}
		}
		n += len(c.signals) + 1
	}
	return ids
}

// idsOf is the ids of what a device has told of itself; 0 where there is none.
func (d *devices) idsOf(id string, told []adapters.Found) []telemetry.SignalID {
	known := d.foundOn(id)
	ids := make([]telemetry.SignalID, len(told))
	for i := range told {
		ids[i] = known[told[i].Name]
	}
	return ids
}

// own is the gateway's signal of that name; 0 if it hasn't got it.
func (d *devices) own(name string) telemetry.SignalID {
	return d.signal(d.list[len(d.list)-1].id, name)
}

// signal is the id of a device's signal; 0 if there is none.
func (d *devices) signal(device, name string) telemetry.SignalID {
	i := slices.IndexFunc(d.model.Signals, func(s telemetry.Signal) bool { return s.Device == device && s.Name == name })
	if i < 0 {
		return 0
	}
	return d.model.Signals[i].ID
}

// limits are those of the signals of which not every value is stored.
func (d *devices) limits() map[telemetry.SignalID]deadband.Limit {
	limits := map[telemetry.SignalID]deadband.Limit{}
	for i, c := range d.config.Devices {
		for j, s := range c.Signals {
			limit := deadband.Limit{Door: s.SwingingDoor, Every: time.Duration(s.ReportEvery)}
			switch {
			case s.Deadband == nil && s.SwingingDoor == 0:
				continue
			case s.Deadband == nil:
			case s.Deadband.Percent:
				limit.Percent = s.Deadband.Value
			default:
				limit.Absolute = s.Deadband.Value
			}
			limits[d.list[i].signals[j]] = limit
		}
	}
	return limits
}

// counters are the signals that are settled by.
func (d *devices) counters() map[telemetry.SignalID]bool {
	counters := map[telemetry.SignalID]bool{}
	for _, s := range d.model.Signals {
		if s.Kind == telemetry.Counter {
			counters[s.ID] = true
		}
	}
	return counters
}

// accounted is the devices as the ledger counts them.
func (d *devices) accounted() (list []account.Device) {
	for _, c := range d.list {
		device := account.Device{ID: c.id, Every: c.every, Signals: c.signals}
		if c.live != 0 {
			device.Own = []telemetry.SignalID{c.live}
		}
		list = append(list, device)
	}
	return list
}

// index is the places in the accounts by device.
func (d *devices) index(places []account.Place) map[string]account.Place {
	index := make(map[string]account.Place, len(places))
	for i, c := range d.list {
		index[c.id] = places[i]
	}
	return index
}
