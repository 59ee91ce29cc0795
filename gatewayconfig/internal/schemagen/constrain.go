package main

import (
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

const (
	fleetName = `^[a-z0-9][a-z0-9-]{0,62}$`
	plainName = `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	upsName   = `^[!#-?A-\[\]-~]{1,64}$`

	sparkplugID = `^[^+#/]{1,256}$`
)

// constrain adds what the types don't say.
func constrain(defs jsonschema.Definitions) {
	pattern := func(def, key, pattern string) { property(defs, def, key).Pattern = pattern }
	pattern("Gateway", "id", fleetName)
	pattern("Gateway", "site", plainName)
	pattern("Gateway", "zone", plainName)
	pattern("Asset", "id", plainName)
	pattern("Asset", "kind", plainName)
	pattern("Device", "id", fleetName)
	pattern("Device", "asset", plainName)
	pattern("Device", "supply", plainName)
	pattern("Modbus", "endpoint", `^(tcp://[^/?#@\s]+|rtu\+tcp://[^/?#@\s]+(\?[^#\s]*)?|rtu:///[^?#\s]+(\?[^#\s]*)?)$`)
	pattern("NUT", "endpoint", `^tcp://[^/?#@\s]+$`)
	pattern("IEC101", "endpoint", `^(rtu\+tcp://[^/?#@\s]+:[0-9]+(\?[^#\s]*)?|rtu:///[^?#\s]+(\?[^#\s]*)?)$`)
	pattern("IEC104", "endpoint", `^(tcp|tls)://[^/?#@\s]+$`)
	property(defs, "IEC104", "redundant").Items.Pattern = `^(tcp|tls)://[^/?#@\s]+$`
	for _, def := range []string{"P1", "SML", "IEC62056"} {
		pattern(def, "endpoint", `^(tcp://[^/?#@\s]+|serial:///[^?#\s]+)(\?[^#\s]*)?$`)
	}
	pattern("NUT", "ups", upsName)
	pattern("NUT", "username", upsName)
	pattern("Signal", "variable", upsName)
	pattern("Signal", "status", upsName)
	pattern("GPIO", "chip", `^/`)
	pattern("Signal", "unit", `^[!-~]{1,32}$`)
	pattern("Status", "listen", `^.*:[0-9]+$`)
	pattern("Kafka", "topic_prefix", `^[a-zA-Z0-9._-]{1,200}$`)
	for _, def := range []string{"MQTT", "Sparkplug", "SparkplugNode"} {
		pattern(def, "broker", `^(tls|tcp)://[^/?#@\s]+$`)
		defs[def].DependentRequired = map[string][]string{"username": {"password_file"}, "password_file": {"username"}}
	}
	pattern("Sparkplug", "host_id", sparkplugID)
	for _, key := range []string{"group", "node", "primary_host"} {
		pattern("SparkplugNode", key, sparkplugID)
	}
	property(defs, "Sparkplug", "groups").Items.Pattern = sparkplugID
	pattern("MQTT", "topic_prefix", `^[A-Za-z0-9._-]{1,60}(/[A-Za-z0-9._-]{1,60}){0,7}$`)
	property(defs, "Kafka", "brokers").Items.Pattern = `^.+:[0-9]+$`

	pattern("Asset", "parent", plainName)
	quantity := func(key, unit string) {
		p := property(defs, "Asset", key)
		p.OneOf, p.Type = nil, "string"
		p.Pattern = `^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)? +k?` + unit + `$`
	}
	quantity("nominal_voltage", "V")
	quantity("rated_current", "A")

	one := uint64(1)
	property(defs, "Config", "devices").MinItems = &one
	property(defs, "Device", "signals").MinItems = &one
	property(defs, "Kafka", "brokers").MinItems = &one

	device := defs["Device"]
	for _, p := range profile.Protocols {
		device.OneOf = append(device.OneOf, &jsonschema.Schema{Required: []string{string(p)}})
	}
	device.AnyOf = []*jsonschema.Schema{{Required: []string{"signals"}}, {Required: []string{"profile"}}, {Required: []string{"signals_from"}}}
	for _, p := range profile.Protocols {
		if p == profile.Sparkplug || p.Meter() { // they tell which signals they have
			device.AnyOf = append(device.AnyOf, &jsonschema.Schema{Required: []string{string(p)}})
		}
	}
	defs["TLS"].DependentRequired = map[string][]string{"cert": {"key"}, "key": {"cert"}}
	defs["NUT"].DependentRequired = map[string][]string{"username": {"password_file"}, "password_file": {"username"}}
	defs["Kafka"].Not = with("insecure", &jsonschema.Schema{Const: true}, "tls")
	defs["MQTT"].Required = []string{"broker"}
	defs["Sparkplug"].Required = []string{"broker", "host_id"}
	defs["SparkplugNode"].Required = []string{"broker", "group"}
	constrainSignal(defs)
}

func constrainSignal(defs jsonschema.Definitions) {
	name := property(defs, "Signal", "name")
	name.Pattern = `^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$`
	name.Not = &jsonschema.Schema{Const: telemetry.ChannelLive}
	longest := uint64(64)
	name.MaxLength = &longest
	property(defs, "Signal", "scale").Not = &jsonschema.Schema{Const: 0}
	limit := func(def, key string, least, most int) {
		p := property(defs, def, key)
		p.Minimum, p.Maximum = json.Number(fmt.Sprint(least)), json.Number(fmt.Sprint(most))
	}
	limit("Signal", "bit", 0, 15)
	limit("Signal", "ioa", 0, 1<<24-1)
	limit("Command", "ioa", 0, 1<<24-1)
	limit("IEC104", "k", 1, 32767)
	limit("IEC104", "w", 1, 32767)
	for _, def := range []string{"IEC104", "IEC101"} {
		limit(def, "cause_octets", 1, 2)
		limit(def, "address_octets", 1, 2)
		limit(def, "object_octets", 1, 3)
	}
	limit("IEC101", "link_address_octets", 0, 2)
	limit("IEC101", "link_retries", 0, 10)
	property(defs, "Signal", "swinging_door").ExclusiveMinimum = "0"
	limit("Signal", "length", 1, 125)
	limit("Modbus", "max_registers", 1, 125)
	limit("Modbus", "max_input_registers", 1, 125)
	limit("Modbus", "max_bits", 1, 2000)
	property(defs, "Modbus", "max_gap").Minimum = "0"

	// What a signal needs, a profile may give.
	device := defs["Device"]
	device.If = &jsonschema.Schema{Required: []string{"profile"}}
	device.Else = only("signals", &jsonschema.Schema{Items: wholeSignal()})
}

// wholeSignal is a signal that says everything itself.
func wholeSignal() *jsonschema.Schema {
	given := func(keys ...string) *jsonschema.Schema {
		var any []*jsonschema.Schema
		for _, key := range keys {
			any = append(any, &jsonschema.Schema{Required: []string{key}})
		}
		return &jsonschema.Schema{AnyOf: any}
	}
	text := &jsonschema.Schema{Const: string(modbus.String)}
	isText := with("type", text)
	return &jsonschema.Schema{
		OneOf: given("input", "holding", "coil", "discrete", "variable", "status", "line", "ioa", "obis").AnyOf,
		AllOf: []*jsonschema.Schema{
			{
				If:   given("coil", "discrete", "bit"),
				Then: only("type", &jsonschema.Schema{Const: string(modbus.Bool)}),
			},
			{
				If:   &jsonschema.Schema{AnyOf: given("input", "holding").AnyOf, Not: given("bit")},
				Then: with("type", &jsonschema.Schema{Not: &jsonschema.Schema{Const: string(modbus.Bool)}}),
			},
			{If: given("variable", "obis"), Then: only("type", text)},
			{If: given("status", "line"), Then: &jsonschema.Schema{Not: given("type")}},
			{If: &jsonschema.Schema{AllOf: []*jsonschema.Schema{isText, {Not: given("variable", "obis")}}}, Then: given("length"), Else: &jsonschema.Schema{Not: given("length")}},
			{AnyOf: []*jsonschema.Schema{
				{Required: []string{"unit"}},
				with("kind", &jsonschema.Schema{Const: string(telemetry.State)}),
				with("type", &jsonschema.Schema{Const: string(modbus.Bool)}, "ioa"),
				{
					AnyOf: append(given("coil", "discrete", "bit", "status", "line").AnyOf, isText),
					Not:   &jsonschema.Schema{Required: []string{"kind"}},
				},
			}},
		},
	}
}

func property(defs jsonschema.Definitions, def, key string) *jsonschema.Schema {
	p, ok := defs[def].Properties.Get(key)
	if !ok {
		panic("no property " + key + " in " + def)
	}
	return p
}

// only constrains a key if it is given.
func only(key string, s *jsonschema.Schema) *jsonschema.Schema {
	properties := jsonschema.NewProperties()
	properties.Set(key, s)
	return &jsonschema.Schema{Properties: properties}
}

// with constrains a key and requires it, and more keys.
func with(key string, s *jsonschema.Schema, more ...string) *jsonschema.Schema {
	out := only(key, s)
	out.Required = append([]string{key}, more...)
	return out
}
