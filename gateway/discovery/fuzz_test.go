package discovery

import (
	"context"
	"testing"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/gatewayconfig"
)

// stranger is a unit that has anything in its registers, and says anything.
type stranger struct {
	registers, words []byte
	sunSpec          bool
}

func (s stranger) Registers(_ context.Context, _ uint8, table modbus.Table, first, count uint16) ([]byte, error) {
	data := make([]byte, 2*count)
	for i := range int(count) {
		at := int(first) + i
		switch {
		case s.sunSpec && table == modbus.Holding && at == 40000:
			copy(data[2*i:], "Su")
		case s.sunSpec && table == modbus.Holding && at == 40001:
			copy(data[2*i:], "nS")
		case len(s.registers) < 2:
			return nil, &goburrow.ModbusError{FunctionCode: 0x83, ExceptionCode: 2}
		default:
			at = 2 * (at - 40002 + 1<<17)
			data[2*i], data[2*i+1] = s.registers[at%len(s.registers)], s.registers[(at+1)%len(s.registers)]
		}
	}
	return data, nil
}

func (s stranger) Identify(context.Context, uint8) (id modbus.Identification, err error) {
	if len(s.words)%2 == 0 {
		id.Objects = []modbus.Object{{ID: modbus.ObjectVendor, Value: s.words}, {ID: modbus.ObjectModel, Value: s.words}, {ID: 0x80, Value: s.registers}}
	}
	return id, nil
}

func (s stranger) ServerID(context.Context, uint8) ([]byte, error) { return s.words, nil }

// Whatever a device has in its registers and says of itself, a scan of it ends, and
// what is proposed can be put into a configuration.
func FuzzScan(f *testing.F) {
	f.Add([]byte{0, 1, 0, 66, 'a', 'b'}, []byte("Maker"), true)
	f.Add([]byte{0, 103, 0, 50}, []byte("a: b\n- id: evil #\x1b[2J"), true)
	f.Add([]byte{0xFF, 0xFF, 0, 0}, []byte("SDM630 - \"'{"), true)
	f.Add([]byte{0x43, 0x66, 0x19, 0x9A}, []byte("SDM630"), false)
	f.Add([]byte{}, []byte{}, false)
	f.Fuzz(func(t *testing.T, registers, words []byte, sunSpec bool) {
		e := Endpoint{Endpoint: "tcp://10.0.0.11"}
		bus := stranger{registers, words, sunSpec}
		if err := (Scanner{Profiles: profiles}).Scan(context.Background(), bus, []uint8{1, 0, 2}, e.Take); err != nil {
			t.Fatal(err)
		}
		e.Units[2].Serial = modbus.Printable(words)
		proposal := Proposal([]Endpoint{e, {Endpoint: "tcp://10.0.0.12", Units: e.Units}}, nil, time.Now())
		devices := 0
		for _, u := range e.Units {
			if u.Same == nil {
				devices += 2 * len(u.likely())
			}
		}
		if devices == 0 {
			proposal += "devices: [{id: m, modbus: {endpoint: tcp://h}, profile: abb/b23}]\n"
			devices = 1
		}
		c, err := gatewayconfig.Parse("gateway.yaml", []byte("gateway: {id: gw}\nforward: {kafka: {brokers: [\"localhost:1\"]}}\nbuffer: {path: data}\n"+proposal))
		if err != nil || len(c.Devices) != devices {
			t.Fatalf("%d devices, expected %d: %v\n%s", len(c.Devices), devices, err, proposal)
		}
	})
}
