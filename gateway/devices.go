package gateway

import (
	"cmp"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
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
		device := modbus.Device{
			ID: c.ID, Endpoint: c.Modbus.Endpoint, Unit: c.Modbus.Unit,
			PollEvery: time.Duration(c.PollEvery), Timeout: time.Duration(c.Timeout),
			Pause: time.Duration(c.Modbus.Pause), PauseAfterConnect: time.Duration(c.Modbus.PauseAfterConnect),
		}
		for _, s := range c.Signals {
			table, address := s.Register()
			device.Points = append(device.Points, modbus.Point{
				Name: s.Name, Table: table, Address: address, Type: s.Type, Order: s.Order, Scale: s.Scale, Offset: s.Offset,
			})
			encodings = append(encodings, fmt.Sprintf("%s*%v%+v", s.Type, s.Scale, s.Offset))
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

// accounted is the devices as the ledger counts them, and the index of each.
func (d *devices) accounted() (list []account.Device, index map[string]int) {
	index = map[string]int{}
	for i, m := range d.modbus {
		device := account.Device{ID: m.ID, Every: cmp.Or(m.PollEvery, modbus.DefaultPollEvery), Own: []telemetry.SignalID{m.Live}}
		for _, p := range m.Points {
			device.Signals = append(device.Signals, p.Signal)
		}
		list = append(list, device)
		index[m.ID] = i
	}
	return list, index
}
