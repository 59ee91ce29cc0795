package profile

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Payload is where a value lies in the messages of an MQTT topic.
type Payload struct {
	// The MQTT topic that it is published to; of what is followed, with + for any one
	// level and # for all that follow; in and with a profile, with {topic} for that of the
	// device.
	// Example: pv/inv1/ac.
	Topic string `yaml:"topic"`

	// Where it is in a JSON payload, as a path: $ is the payload, .name or ['name'] a
	// member of an object, [0] an element of an array, and once [*] each of them, which are
	// then values one after the other. A message without it says nothing of the signal.
	// Default: the payload is the value, as a text. Example: $.power.
	JSON string `yaml:"json"`

	// influx if the payload is Influx line protocol. Default: JSON with json, and else a
	// number, true, false, ON, OFF, or a text.
	Format mqtt.Format `yaml:"format"`

	// The measurement of the Influx lines. Default: any.
	Measurement string `yaml:"measurement"`

	// The field of the Influx lines. Example: value.
	Field string `yaml:"field"`

	// Tags that the Influx lines must have. Example: {host: pump-1}.
	Tags map[string]string `yaml:"tags"`

	// Where the time of the value is in the JSON payload; with [*] as in json, beside each.
	// Without one that is later than 1999 and no more than a day ahead, it is the time of
	// receipt. Influx lines have their own. Default: the time of receipt. Example: $.time.
	Time string `yaml:"time"`

	// What the time counts since 1970: s, ms, us or ns. Default: it is a text after RFC 3339
	// with its offset from UTC, such as 2026-03-01T12:00:00Z; of Influx lines, ns.
	TimeUnit mqtt.TimeUnit `yaml:"time_unit"`

	// For how long nothing may come before the signal has no value any more; from 1s to 31d,
	// written as 744h. Default: stale_after of the device.
	StaleAfter configfile.Duration `yaml:"stale_after"`
}

// selector is where a value lies, for the adapter.
func (s Signal) selector() mqtt.Selector {
	p := s.Payload
	sel := mqtt.Selector{
		Format: p.Format, JSON: p.JSON, Measurement: p.Measurement, Field: p.Field, Tags: p.Tags,
		Time: p.Time, TimeUnit: p.TimeUnit, Scale: s.Scale, Offset: s.Offset,
	}
	if p.Format == mqtt.Influx && p.TimeUnit == "" {
		sel.TimeUnit = mqtt.Nanoseconds
	}
	switch {
	case s.Type == modbus.String:
		sel.Type = mqtt.Text
	case s.Type == modbus.Bool:
		sel.Type = mqtt.Bool
	case s.impliedKind() != telemetry.State:
		sel.Type = mqtt.Number
	}
	if named, _ := s.Names(); len(named) > 0 {
		sel.States = map[string]int64{}
		for value, text := range named {
			sel.States[text] = value
		}
	}
	return sel
}

// MQTT is the signal, of a device that is read by mqtt. It is valid once the signal is
// filled and checked.
func (s Signal) MQTT() mqtt.Point {
	return mqtt.Point{Name: s.Name, Topic: s.Topic, Selector: s.selector(), StaleAfter: time.Duration(s.StaleAfter)}
}

const (
	shortestStale = configfile.Duration(time.Second)
	longestStale  = configfile.Duration(31 * 24 * time.Hour)
)

// CheckStale adds what is wrong with for how long nothing may come.
func CheckStale(f *configfile.File, path string, d configfile.Duration) {
	if f.Has(path) && (d < shortestStale || d > longestStale) {
		f.Errorf(path, "%s is out of range, expected %s to %s", d, shortestStale, longestStale)
	}
}

// message checks where a signal of MQTT lies.
func (k checker) message(path string, s Signal) {
	if s.Topic == "" {
		if !k.Broken(path + ".topic") {
			k.Errorf(path, "no address, expected %s", addresses[MQTT])
		}
	} else if err := mqtt.CheckTopic(s.Topic); err != nil {
		k.Errorf(path+".topic", "%q, %s", s.Topic, err)
	}
	CheckPayload(k.File, path, s)
}

// CheckPayload adds what is wrong with where a value lies in payloads.
func CheckPayload(f *configfile.File, path string, s Signal) {
	k := checker{f}
	has := func(key string) bool { return k.Has(path + "." + key) }
	switch s.Format {
	case mqtt.Plain:
		for _, key := range []string{"measurement", "field", "tags"} {
			if has(key) {
				k.Errorf(path+"."+key, "only Influx lines have this, expected format: influx beside it")
			}
		}
		if has("time") && !has("json") {
			k.Errorf(path+".time", "the payload is the value alone, expected json beside it, or no time")
		}
		if has("time_unit") && !has("time") {
			k.Errorf(path+".time_unit", "which time isn't said, expected time beside it")
		}
	case mqtt.Influx:
		for _, key := range []string{"json", "time"} {
			if has(key) {
				k.Errorf(path+"."+key, "Influx lines haven't got this, expected field, or the key to be left out")
			}
		}
		if s.Field == "" && !k.Broken(path+".field") {
			k.Errorf(path+".field", "the key is missing, expected the name of a field")
		}
	default:
		k.Errorf(path+".format", "%q, expected %s, or the key to be left out", s.Format, mqtt.Influx)
	}
	if has("json") {
		if err := mqtt.CheckPath(s.JSON); err != nil {
			k.Errorf(path+".json", "%s", err)
		} else if has("time") {
			if err := mqtt.CheckTimePath(s.Payload.Time, s.JSON); err != nil {
				k.Errorf(path+".time", "%s", err)
			}
		}
	}
	switch s.TimeUnit {
	case mqtt.RFC3339, mqtt.Seconds, mqtt.Milliseconds, mqtt.Microseconds, mqtt.Nanoseconds:
	default:
		k.Errorf(path+".time_unit", "%q, expected s, ms, us or ns", s.TimeUnit)
	}
	CheckStale(f, path+".stale_after", s.StaleAfter)
	if s.Type != "" && s.Type != modbus.String && s.Type != modbus.Bool {
		k.Errorf(path+".type", "%q, expected string for a text, bool, or the key to be left out for a number", s.Type)
	}
	if s.Type != "" || len(s.States) > 0 {
		for _, key := range []string{"scale", "offset"} {
			if has(key) {
				k.Errorf(path+"."+key, "this isn't a number, expected the key to be left out")
			}
		}
	}
}

// messageStates checks what the values of a signal of MQTT are called: whole numbers, or
// texts that are counted as them.
func (k checker) messageStates(path string, s Signal) {
	states := path + ".states"
	if s.Type != "" {
		k.Errorf(states, "a %s has none, expected the type to be left out", s.Type)
	}
	if s.Kind != "" && s.Kind != telemetry.State {
		k.Errorf(path+".kind", "%s, but the signal has states, expected %s", s.Kind, telemetry.State)
	}
	k.named(states, s.States, mostStates, func(key string) (string, error) {
		value, err := strconv.ParseInt(key, 0, 64)
		if err != nil || octal(key) {
			return "", fmt.Errorf("%s, expected a whole number from %d to %d", strconv.Quote(key), int64(math.MinInt64), int64(math.MaxInt64))
		}
		return strconv.FormatInt(value, 10), nil
	})
}
