package profile_test

import (
	"testing"

	"github.com/busbar/busbar/adapters/modbus"
	firmware "github.com/busbar/busbar/firmware-config"
)

// Every profile that comes with Busbar reads its own examples.
func TestLibrary(t *testing.T) {
	library := firmware.Profiles()
	names := library.Names()
	if len(names) < 7 {
		t.Fatalf("%v", names)
	}
	for _, name := range names {
		p, err := library.Load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := modbus.Device{ID: "d", Endpoint: "tcp://h", Live: 1, Reads: p.Modbus.Reads()}
		for _, s := range p.Signals {
			d.Points = append(d.Points, s.Point())
		}
		for _, err := range d.Check() {
			t.Errorf("%s: %v", name, err)
		}
		if len(p.Examples) == 0 {
			t.Errorf("%s has no example", name)
		}
	}
}
