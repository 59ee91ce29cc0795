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

// A profile of messages is of topics that are the device's, and its examples are decoded
// as the gateway does.
func TestProfilesOfMessages(t *testing.T) {
	const head = "product: p\nsource: s\nmqtt: {available: [{topic: 'p/{topic}/lwt'}]}\n"
	const follow = "follow: [{name: W, topic: 'p/{topic}/w', unit: W}, {name: 'M{1}.Wh', topic: 'p/{topic}/m/+', json: $.e, scale: 1000, unit: W.h, kind: counter}]\n"
	example := func(topic, values string) string {
		return head + follow + "examples: [{topic: '" + topic + "', messages: [{topic: p/a/w, payload: '7'}, {topic: p/a/m/2, payload: '{\"e\":1.5}'}, {topic: p/b/lwt, payload: offline}, {topic: p/b/w, payload: '1'}], values: {" + values + "}}]"
	}
	const any = "examples: [{topic: a, messages: [], values: {}}]"
	for src, want := range map[string]string{
		example("a", "W: '7', M2.Wh: '1500'"):                                   "",
		example("+", "a.W: '7', a.M2.Wh: '1500', b.W: not connected"):           "",
		example("a", "W: '8'"):                                                  "the messages say 7, expected 8",
		example("a", "A: '8'"):                                                  "the messages say nothing of it, but of M2.Wh, W",
		example("a/#", "W: '7'"):                                                "expected the topic of a device",
		head + any:                                                              "no signal, expected at least one",
		head + "follow: [{name: W, topic: p/w, unit: W}]\n" + any:               "p.yaml:4:27: follow[0].topic: \"p/w\", expected {topic} in it once",
		head + "follow: [{name: '{1}.W', topic: '+/{topic}', unit: W}]\n" + any: "expected {topic} before + and #",
		head + "follow: [{name: W, topic: 'p-{topic}', unit: W}]\n" + any:       "expected {topic} alone between slashes",
		head + "follow: [{name: W, topic: 'p/{id}/{topic}', unit: W}]\n" + any:  "expected {topic} alone between slashes",
		head + "follow: [{name: W, topic: '{topic}', unit: W}, {name: W, topic: '{topic}/w', unit: W}]\n" + any:                                                                "follow[1].name: \"W\" is follow[0] already",
		head + "follow: [{name: W, topic: '{topic}', node: i=85, unit: W}]\n" + any:                                                                                            "the device is read by mqtt, which hasn't got this",
		head + "modbus: {max_gap: 1}\n" + follow + any:                                                                                                                         "modbus: mqtt is given too",
		head + follow + "examples: [{topic: a, messages: [], input: 1, values: {}}]":                                                                                           "whose examples haven't got this",
		"product: p\nsource: s\n" + follow + "examples: []":                                                                                                                    "or mqtt beside it",
		"product: p\nsource: s\nmqtt: {}\nsignals: [{name: W, topic: '{topic}/w', unit: W}]\nexamples: [{topic: a, messages: [{topic: a/w, payload: '7'}], values: {W: '7'}}]": "",
	} {
		_, err := profile.Parse("p", "p.yaml", []byte(src))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, expected %s", src, err, want)
		}
	}
}
