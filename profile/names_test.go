package profile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// parsed is a profile with one signal.
func parsed(signal string) (profile.Profile, error) {
	src := "product: p\nsource: s\nsignals: [{name: St, " + signal + "}]\nexamples:\n  - {holding: 0, registers: \"0000 0000 0000 0000\", values: {}}\n"
	return profile.Parse("p", "p.yaml", []byte(src))
}

func TestNamesOfValues(t *testing.T) {
	for signal, want := range map[string]string{
		`holding: 0, type: uint16, states: {0: off, 1: starting, 2: running}`: `map[0:off 1:starting 2:running] map[]`,
		`holding: 0, type: int16, states: {-1: fault, 0x10: "on"}`:            `map[-1:fault 16:on] map[]`,
		`holding: 0, bit: 3, states: {0: open, 1: closed}`:                    `map[0:open 1:closed] map[]`,
		`coil: 0, states: {0: open, 1: closed}`:                               `map[0:open 1:closed] map[]`,
		`holding: 0, type: bcd16, states: {9999: last}`:                       `map[9999:last] map[]`,
		`holding: 0, type: uint16, mask: 0x0F00, states: {15: last}`:          `map[15:last] map[]`,
		`holding: 0, type: uint32, flags: {0: ground fault, 31: last}`:        `map[] map[0:ground fault 31:last]`,
		`holding: 0, type: uint64, flags: {63: last}`:                         `map[] map[63:last]`,
	} {
		p, err := parsed(signal)
		if err != nil {
			t.Errorf("%s: %v", signal, err)
			continue
		}
		states, flags := p.Signals[0].Names()
		if got := fmt.Sprint(map[int64]string(states), map[uint8]string(flags)); got != want || p.Signals[0].Kind != telemetry.State {
			t.Errorf("%s: %s %s, expected %s", signal, got, p.Signals[0].Kind, want)
		}
	}
	for signal, want := range map[string]string{
		`holding: 0, type: uint16, states: {x: off}`:                               `signals[0].states.x: "x", expected a whole number from 0 to 65535`,
		`holding: 0, type: uint16, states: {65536: off}`:                           `"65536", expected a whole number from 0 to 65535`,
		`holding: 0, type: uint16, states: {-1: off}`:                              `"-1", expected a whole number from 0 to 65535`,
		`holding: 0, type: int8, states: {128: off}`:                               `"128", expected a whole number from -128 to 127`,
		`holding: 0, type: uint16, states: {010: off}`:                             `"010", expected a whole number`,
		`holding: 0, type: uint16, states: {1: a, 0x1: b}`:                         `is the same number, expected each once`,
		`holding: 0, type: uint16, states: {1: a, 2: a}`:                           `"a" is the name of 1 already, expected a name of its own`,
		`holding: 0, type: uint16, states: {1: ""}`:                                `expected a name of 1 to 64 bytes`,
		`holding: 0, type: uint16, states: {1: "a\u0007"}`:                         `expected a name of 1 to 64 bytes`,
		`holding: 0, type: uint16, states: {1: "` + strings.Repeat("x", 65) + `"}`: `expected a name of 1 to 64 bytes`,
		`holding: 0, type: uint16, states: {1: true}`:                              `write "true"`,
		`holding: 0, type: float32, states: {1: a}`:                                `only an integer without scale, offset and factor has states`,
		`holding: 0, type: uint16, scale: 0.1, states: {1: a}`:                     `only an integer without scale, offset and factor has states`,
		`holding: 0, type: uint16, factor: 1, states: {1: a}`:                      `only an integer without scale, offset and factor has states`,
		`holding: 0, type: string, length: 2, states: {1: a}`:                      `only an integer without scale, offset and factor has states`,
		`holding: 0, type: int16, flags: {1: a}`:                                   `only an unsigned integer without scale, offset and factor has flags`,
		`holding: 0, bit: 0, flags: {0: a}`:                                        `only an unsigned integer without scale, offset and factor has flags`,
		`holding: 0, type: uint16, flags: {16: a}`:                                 `"16", expected the number of a bit from 0 to 15`,
		`holding: 0, type: uint16, states: {1: a}, flags: {1: a}`:                  `states are given too, expected one of them`,
		`holding: 0, type: uint16, states: {1: a}, kind: gauge, unit: V`:           `gauge, but the signal has states or flags, expected state`,
	} {
		if _, err := parsed(signal); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s", signal, err, want)
		}
	}
}

func TestWhereACounterRollsOver(t *testing.T) {
	if p, err := parsed("holding: 0, type: float32, unit: kW.h, kind: counter, rolls_over_at: 1000000"); err != nil || p.Signals[0].RollsOverAt != 1e6 {
		t.Errorf("%v", err)
	}
	for signal, want := range map[string]string{
		"holding: 0, type: float32, unit: kW.h, rolls_over_at: 1000000":                      "a gauge doesn't roll over, expected kind: counter beside it",
		"holding: 0, type: float32, unit: kW.h, kind: counter, rolls_over_at: 0":             "expected a number above 0, at which it begins again",
		"holding: 0, type: float32, unit: kW.h, kind: counter, offset: 10, rolls_over_at: 9": "expected a number above 10",
	} {
		if _, err := parsed(signal); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %s", signal, err, want)
		}
	}
}
