package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
)

func TestSchemaIsGenerated(t *testing.T) {
	got, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, firmware.Schema) {
		t.Error("firmware-config/gateway.schema.json is not what the structs say; run go generate ./gatewayconfig/...")
	}
}

// Every key is described, for the schema is the reference.
func TestEveryKeyIsDescribed(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties           map[string]struct{ Description string }
			AdditionalProperties *bool
		} `json:"$defs"`
	}
	if err := json.Unmarshal(firmware.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.Defs) < 10 {
		t.Fatalf("%d definitions", len(schema.Defs))
	}
	for name, def := range schema.Defs {
		if def.AdditionalProperties == nil || *def.AdditionalProperties {
			t.Errorf("%s takes unknown keys", name)
		}
		for key, property := range def.Properties {
			if property.Description == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
}

func validator(t *testing.T) func(src string) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(firmware.Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("gateway.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("gateway.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(src string) error {
		var value any
		if err := yaml.Unmarshal([]byte(src), &value); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}
}

const base = `gateway: {id: gw, site: here, zone: z}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data, max_size: 64MiB, commit_every: 1s}
status: {listen: "127.0.0.1:9464"}
defaults: {poll_every: 1s, timeout: 1s}
assets: [{id: T1, kind: k, nominal_voltage: 400 V}]
devices:
  - id: meter
    asset: T1
    powered_by: measured
    modbus: {endpoint: "tcp://10.0.0.11", unit: 1}
    signals:
      - {name: TotW, input: 0x34, type: float32, unit: W}
rules: [{name: high, when: TotW > 5, for: 1s, priority: high}]
`

// The schema and the program agree about each change of a good file.
func TestSchemaAgreesWithParse(t *testing.T) {
	validate := validator(t)
	const totW = "{name: TotW, input: 0x34, type: float32, unit: W}"
	const station = `  - id: bay
    iec104: {endpoint: "tcp://10.0.0.20", redundant: ["tcp://10.0.1.20:2405"], common_address: 3, k: 12}
    signals: [{name: Pos, ioa: 1001, type: bool}, {name: A, ioa: 1002, common_address: 4, unit: A}]
    control: [{signal: Pos, command: {ioa: 2001, type: double}}]
`
	cases := []struct {
		old, new string
		valid    bool
	}{
		{"", "", true},
		{"id: gw,", "id: GW,", false},
		{"id: gw,", "id: 12,", false},
		{"id: gw,", "", false},
		{"id: gw,", "id: " + strings.Repeat("g", 63) + ",", true},
		{"id: gw,", "id: " + strings.Repeat("g", 64) + ",", false},
		{"site: here", "site: a b", false},
		{"zone: z", "zome: z", false},
		{"gateway:", "gatewy:", false},
		{`["localhost:9092"]`, "[]", false},
		{`["localhost:9092"]`, `["localhost"]`, false},
		{`["localhost:9092"]`, `["a.example:1"], tls: {}`, true},
		{`["localhost:9092"]`, `["a.example:1"], tls: {ca: ca.crt, cert: gw.crt, key: gw.key}`, true},
		{`["localhost:9092"]`, `["a.example:1"], tls: {cert: gw.crt}`, false},
		{`["localhost:9092"]`, `["a.example:1"], insecure: true`, true},
		{`["localhost:9092"]`, `["a.example:1"], insecure: yes`, false},
		{`["localhost:9092"]`, `["a.example:1"], insecure: true, tls: {}`, false},
		{`["localhost:9092"]`, `["localhost:1"], sasl: {mechanism: PLAIN, username: u, password_file: f}`, true},
		{`["localhost:9092"]`, `["localhost:1"], sasl: {mechanism: PLAIN, username: u, password: p}`, false},
		{`["localhost:9092"]`, `["localhost:1"], sasl: {mechanism: plain, username: u, password_file: f}`, false},
		{`["localhost:9092"]`, `["localhost:1"], topic_prefix: "a b"`, false},
		{"path: data, ", "", false},
		{"64MiB", "64MB", false},
		{"64MiB", "1.5 GiB", true},
		{"64MiB", "1073741824", false},
		{"commit_every: 1s", "commit_every: 1500ms", true},
		{"commit_every: 1s", "commit_every: 1", false},
		{"commit_every: 1s", "commit_every: -1s", false},
		{"127.0.0.1:9464", "127.0.0.1", false},
		{"kind: k", "kin: k", false},
		{"400 V", "20 kV", true},
		{"400 V", "400", false},
		{"400 V", "400 A", false},
		{"rules: [", "time: {}\nrules: [", true},
		{"rules: [", "time: {source: assumed, require_sync: true, max_hold: 0s}\nrules: [", true},
		{"rules: [", "time: {source: ntp}\nrules: [", false},
		{"rules: [", "time: {require_sync: 10m}\nrules: [", false},
		{"rules: [", "serve: {iec104: {}}\nrules: [", false},
		{"rules: [", "serve: {mqtt: {broker: \"tcp://localhost\"}}\nrules: [", true},
		{"rules: [", "serve: {mqtt: {broker: \"tls://b.example:8883\", tls: {ca: ca.crt}, username: u, password_file: f, topic_prefix: a/b}}\nrules: [", true},
		{"rules: [", "serve: {mqtt: {}}\nrules: [", false},
		{"rules: [", "serve: {mqtt: {broker: \"mqtt://b.example\"}}\nrules: [", false},
		{"rules: [", "serve: {mqtt: {broker: \"tls://b.example\", username: u}}\nrules: [", false},
		{"rules: [", "serve: {mqtt: {broker: \"tls://b.example\", topic_prefix: \"a/#\"}}\nrules: [", false},
		{"for: 1s", "operate: [{signal: Set, on_raise: 1}]", false},
		{"id: meter", "id: meter_1", false},
		{"asset: T1", "asset: {id: T1}", false},
		{"powered_by: measured", "powered_by: battery", false},
		{"tcp://10.0.0.11", "rtu:///dev/ttyUSB0", true},
		{"tcp://10.0.0.11", "rtu:///dev/ttyUSB0?baud=9600&parity=N&rs485=true&rts_delay_after=2ms", true},
		{"tcp://10.0.0.11", "rtu://dev/ttyUSB0", false},
		{"tcp://10.0.0.11", "rtu+tcp://10.0.0.11:4001?baud=19200", true},
		{"tcp://10.0.0.11", "tcp://10.0.0.11?baud=9600", false},
		{"tcp://10.0.0.11", "ascii:///dev/ttyUSB0", false},
		{"unit: 1}", "unit: 1, pause: 20ms, pause_after_connect: 2s}", true},
		{"tcp://10.0.0.11", "tcp://10.0.0.11:1502", true},
		{"unit: 1}", "unit: 255}", true},
		{"unit: 1}", "unit: 256}", false},
		{"unit: 1}", "unit: 1.5}", false},
		{"unit: 1}", "unit: -1}", false},
		{"    modbus: {", "    opcua: {", false},
		{"devices:\n", "devices:\n" + station, true},
		{"devices:\n", "devices:\n" + strings.Replace(station, "tcp://", "opc.tcp://", 1), false},
		{"devices:\n", "devices:\n" + strings.Replace(station, "ioa: 1001", "ioa: 16777216", 1), false},
		{"devices:\n", "devices:\n" + strings.Replace(station, "type: double", "type: triple", 1), false},
		{"devices:\n", "devices:\n" + strings.Replace(station, "k: 12", "k: 0", 1), false},
		{"      - " + totW, "      []", false},
		{totW, "{name: TotW, holding: 0, type: uint64, order: CDAB, scale: 0.1, offset: -5, unit: W}", true},
		{totW, "{name: TotW, input: 0x34, holding: 1, type: float32, unit: W}", false},
		{totW, "{name: TotW, type: float32, unit: W}", false},
		{totW, "{name: TotW, input: 0x34, unit: W}", false},
		{totW, "{name: TotW, input: 0x34, type: bool, unit: W}", false},
		{totW, "{name: TotW, input: 0x34, type: float16, unit: W}", true},
		{totW, "{name: TotW, input: 0x34, type: real, unit: W}", false},
		{totW, totW + "\n      - {name: Trip, input: 0x34, bit: 15}", true},
		{totW, "{name: Trip, input: 0x34, bit: 16}", false},
		{totW, "{name: Trip, input: 0x34, bit: 1, type: uint16}", false},
		{totW, totW + "\n      - {name: Model, holding: 4, type: string, length: 8}", true},
		{totW, "{name: Model, holding: 4, type: string}", false},
		{totW, "{name: Model, holding: 4, type: string, length: 126}", false},
		{totW, "{name: TotW, input: 0x34, type: uint16, length: 1, unit: W}", false},
		{totW, "{name: TotW, input: 1, type: uint16, mask: 0x0F00, absent: [0xFFFF], group: a, factor: 2, unit: W}", true},
		{"    signals:", "    profile: eastron/sdm630\n    signals:", true},
		{"    signals:\n      - " + totW, "    profile: eastron/sdm630", true},
		{"    signals:\n      - " + totW, "    poll_every: 2s", false},
		{"unit: 1}", "unit: 1, max_gap: 0, max_registers: 60, max_bits: 8, one_by_one: true, bits_from_zero: true}", true},
		{"unit: 1}", "unit: 1, max_gap: -1}", false},
		{"unit: 1}", "unit: 1, max_registers: 126}", false},
		{totW, "{name: TotW, input: 65536, type: uint16, unit: W}", false},
		{totW, "{name: TotW, input: 1, type: float32}", false},
		{totW, "{name: TotW, input: 1, type: uint16, kind: state}", true},
		{totW, "{name: TotW, input: 1, type: uint16, kind: counter}", false},
		{totW, "{name: TotW, input: 1, type: uint16, kind: level, unit: W}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, order: ACBD}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, scale: 0}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W h}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: 1}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, deadband: 1}", true},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, deadband: 1.5%, report_every: 10m}", true},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, deadband: -1}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, deadband: 1 V}", false},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, swinging_door: 0.5}", true},
		{totW, "{name: TotW, input: 1, type: uint16, unit: W, swinging_door: 0}", false},
		{totW, "{name: TotW, coil: 1}", true},
		{totW, "{name: TotW, coil: 1, type: bool}", true},
		{totW, "{name: TotW, discrete: 1, kind: gauge}", false},
		{totW, `{name: TotW, discrete: 1, kind: gauge, unit: "1"}`, true},
		{totW, "{name: TotW, coil: 1, type: uint16}", false},
		{"name: TotW", "name: ChLiv", false},
		{"name: TotW", "name: 1TotW", false},
		{"priority: high", "priority: urgent", false},
		{"for: 1s", "for: 1", false},
		{"for: 1s", "fro: 1s", false},
	}
	for _, c := range cases {
		src := strings.Replace(base, c.old, c.new, 1)
		if c.old != "" && src == base {
			t.Fatalf("%q is not in the good file", c.old)
		}
		_, parseErr := gatewayconfig.Parse("gateway.yaml", []byte(src))
		schemaErr := validate(src)
		if (parseErr == nil) != c.valid {
			t.Errorf("%q for %q: Parse says %v", c.new, c.old, parseErr)
		}
		if (schemaErr == nil) != c.valid {
			t.Errorf("%q for %q: the schema says %v", c.new, c.old, schemaErr)
		}
	}
}

func TestSchemaAcceptsTheExamples(t *testing.T) {
	validate := validator(t)
	for name, src := range map[string][]byte{"gateway.yaml": firmware.Example, "first-meter.yaml": firmware.FirstMeter} {
		if err := validate(string(src)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
