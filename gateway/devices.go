package gateway

import (
	"cmp"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/deadband"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// devices is the configuration as the adapter, the rules and the signal table
// see it. Signals have the order of gatewayconfig.Config.Model everywhere.
type devices struct {
	model       rules.Model
	definitions []buffer.Definition
	modbus      []modbus.Device
}

func newDevices(config gatewayconfig.Config) devices {
	d := devices{model: config.Model()}
	encodings := make([]string, 0, len(d.model.Signals))
	for _, c := range config.Devices {
		device := c.ModbusDevice()
		for _, s := range c.Signals {
			encodings = append(encodings, encoding(s))
		}
		encodings = append(encodings, "live")
		d.modbus = append(d.modbus, device)
	}
	for i, s := range d.model.Signals {
		d.definitions = append(d.definitions, buffer.Definition{Signal: s, Encoding: encodings[i]})
	}
	ids := make([]telemetry.SignalID, len(d.model.Signals))
	for i, s := range d.model.Signals {
		ids[i] = s.ID
	}
	d.assign(ids)
	return d
}

// encoding is how a signal's values come about. Where it changes, the signal is
// another one.
func encoding(s gatewayconfig.Signal) string {
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
	return text
}

// assign gives every signal its id.
func (d *devices) assign(ids []telemetry.SignalID) {
	for i := range ids {
		d.model.Signals[i].ID = ids[i]
	}
	for i := range d.modbus {
		device := &d.modbus[i]
		for j := range device.Points {
			device.Points[j].Signal = ids[j]
		}
		device.Live = ids[len(device.Points)]
		ids = ids[len(device.Points)+1:]
	}
}

// limits are those of the signals of which not every value is stored.
func (d *devices) limits(config gatewayconfig.Config) map[telemetry.SignalID]deadband.Limit {
	limits := map[telemetry.SignalID]deadband.Limit{}
	for i, c := range config.Devices {
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
			limits[d.modbus[i].Points[j].Signal] = limit
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
	for _, m := range d.modbus {
		device := account.Device{ID: m.ID, Every: cmp.Or(m.PollEvery, modbus.DefaultPollEvery), Own: []telemetry.SignalID{m.Live}}
		for _, p := range m.Points {
			device.Signals = append(device.Signals, p.Signal)
		}
		list = append(list, device)
	}
	return list
}

// index is the places in the accounts by device.
func (d *devices) index(places []account.Place) map[string]account.Place {
	index := make(map[string]account.Place, len(places))
	for i, m := range d.modbus {
		index[m.ID] = places[i]
	}
	return index
}
