package obis

import (
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// phases are those of quantities that begin 20, 40 and 60 further on.
var phases = [4]string{"", ".phsA", ".phsB", ".phsC"}

// Name is what a register is called as a signal, after IEC 61850 where that has a name, and
// what its values mean. One that has no name of its own is called by its code.
func (r Register) Name() (name string, kind telemetry.Kind) {
	c := r.Code
	kind = telemetry.Gauge
	if r.Value.Kind() == telemetry.Text {
		kind = telemetry.State
	}
	switch {
	case c.F != Current && !(c.A == Electricity && c.C == 96):
	case c.A == Electricity:
		if name, known := r.electricity(); known != "" {
			return name, known
		}
	case c.A == Abstract && r.Medium != 0:
		if name, known := r.onBus(); known != "" {
			return name, known
		}
	}
	if c.A == Abstract || c.A == Electricity {
		if own, known := abstract[[3]uint8{c.C, c.D, c.E}]; known && (c.B == 0 || own.name == "Ver") {
			return own.name, own.kind
		}
	}
	if c.D == 8 && kind == telemetry.Gauge && c.A != Abstract {
		kind = telemetry.Counter
	}
	return r.Unnamed(), kind
}

// Unnamed is what a register is called as a signal that has no name, or whose name another
// one has: its code.
func (r Register) Unnamed() string {
	c := r.Code
	name := fmt.Sprintf("OBIS.r%d_%d_%d_%d_%d", c.A, c.B, c.C, c.D, c.E)
	if c.F != Current {
		name += fmt.Sprintf("_%d", c.F)
	}
	return name
}

// own is what a register is called.
type own struct {
	name string
	kind telemetry.Kind
}

// abstract are the registers that have to do with the meter itself, by C, D and E.
var abstract = map[[3]uint8]own{
	{96, 14, 0}:   {"Tariff", telemetry.State},
	{96, 7, 21}:   {"Intr.short", telemetry.Counter},
	{96, 7, 9}:    {"Intr.long", telemetry.Counter},
	{96, 13, 0}:   {"Msg", telemetry.State},
	{96, 13, 1}:   {"MsgCode", telemetry.State},
	{96, 1, 1}:    {"MtrId", telemetry.State},
	{96, 1, 0}:    {"MtrId", telemetry.State},
	{96, 1, 2}:    {"ConnectionId", telemetry.State},
	{96, 3, 10}:   {"Pos", telemetry.State},
	{17, 0, 0}:    {"LimW", telemetry.Gauge},
	{96, 1, 4}:    {"Ver", telemetry.State},
	{97, 97, 0}:   {"Err", telemetry.State},
	{96, 50, 1}:   {"Maker", telemetry.State},
	{96, 5, 0}:    {"St", telemetry.State},
	{0, 2, 8}:     {"Ver", telemetry.State},
	{96, 53, 0}:   {"Ver", telemetry.State},
	{96, 90, 2}:   {"Ver", telemetry.State},
	{96, 54, 1}:   {"Pos", telemetry.State},
	{0, 0, 9}:     {"MtrId", telemetry.State},
	{199, 130, 3}: {"Maker", telemetry.State},
}

// electricity are the quantities of electricity, by C without its phase: what is measured
// in a moment, and what is counted.
var electricity = map[uint8]struct{ moment, unit, count, counted string }{
	1:  {"DmdW", "W", "DmdWh", "W.h"},
	2:  {"SupW", "W", "SupWh", "W.h"},
	3:  {"DmdVAr", "var", "DmdVArh", "varh"},
	4:  {"SupVAr", "var", "SupVArh", "varh"},
	5:  {"", "", "TotVArhImpQ1", "varh"},
	6:  {"", "", "TotVArhImpQ2", "varh"},
	7:  {"", "", "TotVArhExpQ3", "varh"},
	8:  {"", "", "TotVArhExpQ4", "varh"},
	9:  {"TotVA", "V.A", "DmdVAh", "V.A.h"},
	10: {"SupVA", "V.A", "SupVAh", "V.A.h"},
	11: {"A", "A", "", ""},
	12: {"PhV", "V", "", ""},
	13: {"TotPF", "", "", ""},
	14: {"Hz", "Hz", "", ""},
	15: {"", "", "TotWh", "W.h"},
	16: {"TotW", "W", "NetWh", "W.h"},
}

// ofPhase are the names that are others with a phase.
var ofPhase = map[string]string{"TotVA": "VA", "TotPF": "PF", "TotW": "W"}

// electricity is the name of a register of electricity; the kind is "" if it has none, as
// of one whose unit is another one.
func (r Register) electricity() (string, telemetry.Kind) {
	c := r.Code
	phase := 0
	quantity := c.C
	if c.C > 20 && c.C <= 80 {
		phase, quantity = int(c.C)/20, c.C%20
	}
	if c.C == 91 && c.D == 7 && c.E == 0 && r.Unit == "A" {
		return "A.neut", telemetry.Gauge
	}
	if c.C == 31 && c.D == 4 && c.E == 0 && r.Unit == "A" {
		return "LimA", telemetry.Gauge
	}
	q, known := electricity[quantity]
	tariff := ""
	if c.E != 0 {
		tariff = fmt.Sprintf(".tariff%d", c.E)
	}
	switch {
	case !known || phase > 3 || r.Value.Kind() == telemetry.Text:
		return "", ""
	case c.D == 8 && q.counted == r.Unit && q.count != "":
		return q.count + phases[phase] + tariff, telemetry.Counter
	case quantity == 12 && c.E == 0 && c.D == 32:
		return "Sag" + phases[phase], telemetry.Counter
	case quantity == 12 && c.E == 0 && c.D == 36:
		return "Swell" + phases[phase], telemetry.Counter
	case q.moment == "" || q.unit != r.Unit:
		return "", ""
	case c.D == 7 && c.E == 0:
		name := q.moment
		if other, has := ofPhase[name]; has && phase > 0 {
			name = other
		}
		return name + phases[phase], telemetry.Gauge
	case c.D == 4 && quantity <= 4:
		return q.moment + phases[phase] + ".avg" + tariff, telemetry.Gauge
	case c.D == 6 && quantity <= 4:
		return q.moment + phases[phase] + ".max" + tariff, telemetry.Gauge
	}
	return "", ""
}

// media are what meters on an M-Bus measure (EN 13757-3).
var media = map[uint8]string{
	2: "El", 3: "Gas", 4: "Heat", 6: "HotWater", 7: "Water", 10: "Cool", 11: "Cool", 12: "Heat", 13: "HeatCool", 21: "HotWater", 22: "ColdWater",
}

// onBus is the name of a register of a meter on the M-Bus.
func (r Register) onBus() (string, telemetry.Kind) {
	c := r.Code
	medium, known := media[r.Medium]
	if !known {
		medium = "MBus"
	}
	medium = fmt.Sprintf("%s%d", medium, c.B)
	switch {
	case c.C == 24 && (c.D == 2 || c.D == 3):
		switch r.Unit {
		case "m3":
			return medium + ".Vol", telemetry.Counter
		case "W.h":
			return medium + ".Wh", telemetry.Counter
		case "J":
			return medium + ".J", telemetry.Counter
		}
		return medium + ".Val", telemetry.Counter
	case c.C == 24 && c.D == 4:
		return medium + ".Valve", telemetry.State
	case c.C == 96 && c.D == 1 && c.E <= 2:
		return medium + ".Id", telemetry.State
	}
	return "", ""
}
