package main

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

type model struct {
	Group struct {
		Label  string
		Points []point
	}
}

type point struct {
	Name  string
	Label string
	Type  string
	Size  int
	Units string
	SF    json.RawMessage // the name of a point, or a number

	Symbols []symbol // of an enumeration its values, of a bit field its bits
}

type symbol struct {
	Name  string
	Value uint64
}

// layout is how a SunSpec type is read, and which raw value means that the
// device doesn't implement the point (SunSpec Device Information Model
// Specification V1.1, 4.3).
type layout struct {
	typ, absent string
	kind        string
}

var layouts = map[string]layout{
	"int16": {"int16", "0x8000", ""}, "uint16": {"uint16", "0xFFFF", ""}, "count": {"uint16", "0xFFFF", ""},
	"int32": {"int32", "0x80000000", ""}, "uint32": {"uint32", "0xFFFFFFFF", ""},
	"int64": {"int64", "0x8000000000000000", ""}, "uint64": {"uint64", "0xFFFFFFFFFFFFFFFF", ""},
	"float32": {"float32", "0x7FC00000", ""}, "float64": {"float64", "0x7FF8000000000000", ""},
	"acc16": {"uint16", "0", "counter"}, "acc32": {"uint32", "0", "counter"}, "acc64": {"uint64", "0", "counter"},
	"enum16": {"uint16", "0xFFFF", "state"}, "enum32": {"uint32", "0xFFFFFFFF", "state"},
	"bitfield16": {"uint16", "0xFFFF", "state"}, "bitfield32": {"uint32", "0xFFFFFFFF", "state"}, "bitfield64": {"uint64", "0xFFFFFFFFFFFFFFFF", "state"},
	"string": {"string", "", ""},
}

var units = map[string]string{
	"": "1", "VA": "V.A", "VAr": "var", "Var": "var", "Wh": "W.h", "VAh": "V.A.h", "Varh": "varh", "varh": "varh", "Pct": "%", "C": "Cel", "Ah": "A.h",
	"A": "A", "V": "V", "W": "W", "Hz": "Hz", "var": "var", "Tms": "s", "Secs": "s", "cSecs": "cs", "PF": "1", "WH": "W.h", "%": "%", "%WHRtg": "%",
}

var (
	phase  = regexp.MustCompile(`^(.+)ph([ABC]{1,2})$`)
	totals = map[string]string{"W": "TotW", "VA": "TotVA", "VAR": "TotVAr", "VAr": "TotVAr", "Var": "TotVAr", "PF": "TotPF"}
)

// name is a point's after IEC 61850, which SunSpec's follow but for their case.
func name(p point) string {
	if whole, known := totals[p.Name]; known {
		return whole
	}
	if m := phase.FindStringSubmatch(p.Name); m != nil {
		quantity := m[1]
		if quantity == "VAR" {
			quantity = "VAr"
		}
		return quantity + ".phs" + m[2]
	}
	return p.Name
}

func convert(id int, src []byte) (string, error) {
	var m model
	if err := json.Unmarshal(src, &m); err != nil {
		return "", err
	}
	addresses, at := map[string]int{}, 0
	for _, p := range m.Group.Points {
		addresses[p.Name] = at
		at += p.Size
	}
	var b strings.Builder
	fmt.Fprintf(&b, "product: SunSpec model %d, %s\n", id, strings.ToLower(m.Group.Label))
	fmt.Fprintf(&b, "source: >-\n  SunSpec Alliance's model %d as pysunspec2 1.3.7 has it (Apache-2.0), converted: the\n  measured points of its fixed block. Addresses count from the model's own id, so\n  a device says by modbus.base where that is.\n", id)
	fmt.Fprintf(&b, "identify: [{holding: 0, equals: %d}]\nsignals:\n", id)
	var first *point
	for _, p := range m.Group.Points {
		l, known := layouts[p.Type]
		if !known || p.Name == "ID" || p.Name == "L" {
			continue
		}
		line, err := signal(p, l, addresses)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.Name, err)
		}
		b.WriteString("  - " + line + "\n")
		if first == nil {
			first = &p
		}
	}
	if first == nil {
		return "", fmt.Errorf("nothing is measured")
	}
	example(&b, *first, addresses[first.Name])
	return b.String(), nil
}

func signal(p point, l layout, addresses map[string]int) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "{name: %s, holding: %d, type: %s", name(p), addresses[p.Name], l.typ)
	if l.typ == "string" {
		fmt.Fprintf(&b, ", length: %d}", p.Size)
		return b.String(), nil
	}
	if len(p.SF) > 0 {
		var factor string
		if err := json.Unmarshal(p.SF, &factor); err == nil {
			at, known := addresses[factor]
			if !known {
				return "", fmt.Errorf("there is no scale factor %s", factor)
			}
			fmt.Fprintf(&b, ", factor: %d", at)
		} else {
			exponent, err := strconv.Atoi(string(p.SF))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, ", scale: %v", math.Pow10(exponent))
		}
	}
	unit, known := units[p.Units]
	if !known {
		return "", fmt.Errorf("unit %q", p.Units)
	}
	if l.kind != "state" || unit != "1" {
		fmt.Fprintf(&b, ", unit: %q", unit)
	}
	if l.kind != "" {
		fmt.Fprintf(&b, ", kind: %s", l.kind)
	}
	fmt.Fprintf(&b, ", absent: [%s]", l.absent)
	names(&b, p)
	b.WriteString("}")
	return b.String(), nil
}

// prefixes are what some models put before the names that others have.
var prefixes = regexp.MustCompile(`^(gg|M_EVENT_)`)

// names are what the point's values or bits are called.
func names(b *strings.Builder, p point) {
	if len(p.Symbols) == 0 {
		return
	}
	key := "states"
	if strings.HasPrefix(p.Type, "bitfield") {
		key = "flags"
	}
	list := make([]string, len(p.Symbols))
	for i, s := range p.Symbols {
		list[i] = fmt.Sprintf("%d: %q", s.Value, prefixes.ReplaceAllString(s.Name, ""))
	}
	fmt.Fprintf(b, ",\n     %s: {%s}", key, strings.Join(list, ", "))
}

// example shows the first point as a device does that doesn't implement it, or
// a text.
func example(b *strings.Builder, p point, at int) {
	l := layouts[p.Type]
	if l.typ == "string" {
		registers := "42 75 73 62 61 72" + strings.Repeat(" 00", 2*p.Size-6)
		fmt.Fprintf(b, "examples:\n  - holding: %d\n    registers: %q\n    values: {%s: \"Busbar\"}\n", at, registers, name(p))
		return
	}
	absent, _ := strconv.ParseUint(l.absent, 0, 64)
	fmt.Fprintf(b, "examples:\n  - holding: %d\n    registers: \"%0*x\"\n    values: {%s: not implemented}\n", at, 4*p.Size, absent, name(p))
}
