package profile_test

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/adapters/modbus"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
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
		if len(p.Examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		if p.By() != profile.Modbus {
			continue
		}
		d := modbus.Device{ID: "d", Endpoint: "tcp://h", Live: 1, Reads: p.Modbus.Reads()}
		for _, s := range p.Signals {
			d.Points = append(d.Points, s.Point())
		}
		for _, err := range d.Check() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a device says of how it likes to be asked holds against its profile, also
// where it says no.
func TestADeviceOverrulesItsProfile(t *testing.T) {
	gap := 0
	of := profile.Reading{OneByOne: true, BitsFromZero: true, MaxRegisters: 60, MaxGap: &gap}
	own := profile.Reading{MaxRegisters: 30}
	got := own.Over(of, func(key string) bool { return key == "one_by_one" || key == "max_registers" })
	if got.OneByOne || !got.BitsFromZero || got.MaxRegisters != 30 || got.MaxGap != &gap {
		t.Errorf("%+v", got)
	}
}

// An example of a scaled value has to show its factor, and is tested with it.
func TestExamplesNeedTheirFactors(t *testing.T) {
	const head = "product: p\nsource: s\nsignals: [{name: V, holding: 0, type: uint16, factor: 1, unit: V, absent: [0xFFFF]}]\nexamples:\n"
	for example, want := range map[string]string{
		`  - {holding: 0, registers: "08fd ffff", values: {V: "230.1"}}`:           "",
		`  - {holding: 0, registers: "08fd ffff", values: {V: "2301"}}`:            "the registers hold 230.1, expected 2301",
		`  - {holding: 0, registers: "08fd", values: {V: "2301"}}`:                 "its factor: holding 1 is not among these registers",
		`  - {holding: 0, registers: "ffff", values: {V: "not implemented"}}`:      "",
		`  - {holding: 0, registers: "08fd 8000", values: {V: "not implemented"}}`: "",
	} {
		_, err := profile.Parse("p", "p.yaml", []byte(head+example))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", example, err)
		}
	}
}

// An example of a float is written as people write it, and not as the next single.
func TestExamplesOfFloats(t *testing.T) {
	for value, right := range map[string]bool{"230.1": true, "230.10000610351562": true, "230.2": false, "230.11": false} {
		src := "product: p\nsource: s\nsignals: [{name: V, input: 0, type: float32, unit: V}]\nexamples:\n  - {input: 0, registers: \"4366 199a\", values: {V: \"" + value + "\"}}\n"
		if _, err := profile.Parse("p", "p.yaml", []byte(src)); (err == nil) != right {
			t.Errorf("%s: %v", value, err)
		}
	}
}
