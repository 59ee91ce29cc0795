package cloud

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/headend"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// HeadEnd is a head-end, or a system of meter data, whose reads and events are taken, and
// how it writes them.
type HeadEnd struct {
	// What it is called, where a gateway's id stands else. No gateway may have the same.
	// Example: mdm-north.
	ID string `yaml:"id,required"`

	// The zone of its meters: who may see them.
	Zone string `yaml:"zone"`

	// What its columns, or the members of its objects, are called, by what Busbar calls
	// them. Example: {meter: METER_SERIAL, time: READ_TIME, value: KWH}.
	Columns map[string]string `yaml:"columns"`

	// What separates columns of CSV, one character. Default: a semicolon, a tabulator or
	// a comma, whichever the first line has.
	Separator string `yaml:"separator"`

	// What separates the decimals of a number: a point or a comma. Default: ".".
	Decimal string `yaml:"decimal"`

	// The zone of times that are without an offset, by its IANA name. Default: UTC.
	// Example: Europe/Berlin.
	TimeZone string `yaml:"time_zone"`

	// How it writes 2006-01-02 15:04:05, the second of January. Times of RFC 3339 are
	// known anyway. Default: 2006-01-02 15:04:05. Example: 02.01.2006 15:04.
	TimeFormat string `yaml:"time_format"`

	// What the time of an interval is: start or end. Default: end.
	TimeIs string `yaml:"time_is"`

	// How long the intervals of its reads are, if these don't say it, from 1m to 24h.
	// Example: 15m.
	Interval configfile.Duration `yaml:"interval"`

	// What its reads are of, if they don't say it: one of channels, or an OBIS code.
	// Example: "1-0:1.29.0".
	Channel string `yaml:"channel"`

	// What its channels are, by its names for them. OBIS codes are known anyway.
	Channels map[string]HeadEndChannel `yaml:"channels"`

	// What its words for the quality of a read mean: actual, edited, estimated or missing.
	// Example: {V: actual, E: estimated}.
	Qualities map[string]string `yaml:"qualities"`

	// What its codes of events mean, such as power-fail or power-restore.
	// Example: {PF01: power-fail}.
	Events map[string]string `yaml:"events"`

	// How old an event may be that says how things are now: a power-fail that is older is
	// kept, and begins no outage. From 1m to 24h. Default: 15m.
	Fresh configfile.Duration `yaml:"fresh"`

	// How long after its end an interval's read may take before it is missing, from 1m to
	// 8784h. Default: 36h.
	ExpectedWithin configfile.Duration `yaml:"expected_within"`
}

// HeadEndChannel is a quantity.
type HeadEndChannel struct {
	// The name of its signal. Example: DmdWh.interval.
	Signal string `yaml:"signal,required"`

	// The unit of its numbers, if rows don't say it. Example: kWh.
	Unit string `yaml:"unit"`

	// What its values are over time: gauge, counter or state. Default: gauge.
	Kind string `yaml:"kind"`

	// Whether a number is of an interval, and not of a moment. Default: false.
	Interval bool `yaml:"interval"`
}

// SetDefaults is called before the section is read.
func (h *HeadEnd) SetDefaults() {
	h.Decimal, h.TimeIs = ".", "end"
	h.Fresh, h.ExpectedWithin = configfile.Duration(15*time.Minute), configfile.Duration(36*time.Hour)
}

var gatewayID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func checkHeadEnds(f *configfile.File, list []HeadEnd) {
	for i, h := range list {
		at := configfile.Item("head_ends", i)
		if !gatewayID.MatchString(h.ID) && h.ID != "" {
			f.Errorf(at+".id", "%q, expected lower case letters, digits and dashes, at most 63", h.ID)
		}
		if j := slices.IndexFunc(list, func(o HeadEnd) bool { return o.ID == h.ID }); j < i {
			f.Errorf(at+".id", "%q is head_ends[%d] already, expected another one", h.ID, j)
		}
		mapped := map[string]string{}
		for _, field := range slices.Sorted(maps.Keys(h.Columns)) {
			column := h.Columns[field]
			if !slices.Contains(headend.Fields, headend.Field(field)) {
				f.Errorf(at+".columns."+field, "%q is nothing that rows have, expected one of %v", field, headend.Fields)
			} else if other, twice := mapped[column]; twice {
				f.Errorf(at+".columns."+field, "%q is the %s already, expected another column", column, other)
			} else {
				mapped[column] = field
			}
		}
		if n := []rune(h.Separator); len(n) > 1 || h.Separator == `"` || h.Separator == "\n" {
			f.Errorf(at+".separator", "%q, expected one character", h.Separator)
		}
		oneOf := func(path, value string, of ...string) {
			if !slices.Contains(of, value) {
				f.Errorf(at+"."+path, "%q, expected one of %v", value, of)
			}
		}
		oneOf("decimal", h.Decimal, ".", ",")
		oneOf("time_is", h.TimeIs, "start", "end")
		if _, err := time.LoadLocation(h.TimeZone); err != nil || h.TimeZone == "Local" {
			f.Errorf(at+".time_zone", "%q isn't known, expected a name such as Europe/Berlin", h.TimeZone)
		}
		if h.TimeFormat != "" {
			then := time.Date(2026, 11, 12, 13, 14, 0, 0, time.UTC)
			if back, err := time.Parse(h.TimeFormat, then.Format(h.TimeFormat)); err != nil || !back.Equal(then) {
				f.Errorf(at+".time_format", "%q doesn't tell each minute of each day, expected how it writes 2006-01-02 15:04:05", h.TimeFormat)
			}
		}
		within := func(path string, d configfile.Duration, from, to time.Duration) {
			if got := time.Duration(d); got < from || got > to {
				f.Errorf(at+"."+path, "%s is out of range, expected %s to %s", d, configfile.Duration(from), configfile.Duration(to))
			}
		}
		if f.Has(at + ".interval") {
			within("interval", h.Interval, time.Minute, 24*time.Hour)
		}
		within("fresh", h.Fresh, time.Minute, 24*time.Hour)
		within("expected_within", h.ExpectedWithin, time.Minute, 8784*time.Hour)
		for _, name := range slices.Sorted(maps.Keys(h.Channels)) {
			if kind := h.Channels[name].Kind; kind != "" {
				oneOf("channels."+name+".kind", kind, string(telemetry.Gauge), string(telemetry.Counter), string(telemetry.State))
			}
		}
		for _, word := range slices.Sorted(maps.Keys(h.Qualities)) {
			if !slices.Contains(headend.Statuses, headend.Status(h.Qualities[word])) {
				f.Errorf(at+".qualities."+word, "%q, expected one of %v", h.Qualities[word], headend.Statuses)
			}
		}
		for _, code := range slices.Sorted(maps.Keys(h.Events)) {
			if !slices.Contains(headend.EventKinds, headend.EventKind(h.Events[code])) {
				f.Errorf(at+".events."+code, "%q, expected one of %v", h.Events[code], headend.EventKinds)
			}
		}
	}
}

// compiled is the head-end as what reads its rows needs it.
func (h HeadEnd) compiled() headend.HeadEnd {
	out := headend.HeadEnd{ID: h.ID, Zone: h.Zone, Fresh: time.Duration(h.Fresh), Expects: time.Duration(h.ExpectedWithin), Format: headend.Format{
		Columns: map[string]headend.Field{}, Comma: h.Decimal == ",", Layout: h.TimeFormat, Starts: h.TimeIs == "start",
		Interval: telemetry.Micros(time.Duration(h.Interval).Microseconds()), Channel: h.Channel, Channels: map[string]headend.Channel{},
		Qualities: map[string]headend.Status{}, Events: map[string]headend.EventKind{}}}
	out.Location, _ = time.LoadLocation(h.TimeZone) // was checked
	for _, c := range h.Separator {
		out.Separator = c
	}
	for field, name := range h.Columns {
		out.Columns[name] = headend.Field(field)
	}
	for name, c := range h.Channels {
		kind := telemetry.Kind(c.Kind)
		if kind == "" {
			kind = telemetry.Gauge
		}
		out.Channels[name] = headend.Channel{Signal: c.Signal, Unit: c.Unit, Kind: kind, Interval: c.Interval}
	}
	for word, status := range h.Qualities {
		out.Qualities[word] = headend.Status(status)
	}
	for code, kind := range h.Events {
		out.Events[code] = headend.EventKind(kind)
	}
	return out
}

func (c *Cloud) openHeadEnds(names record.Topics) {
	if len(c.config.HeadEnds) == 0 {
		return
	}
	c.topics = append(c.topics, log.ImportTopic(names, c.config.Log.Replicas, c.config.Log.MinInSync))
	if c.runs(TargetAlarm) {
		c.read = append(c.read, names.Import())
	}
	var list []headend.HeadEnd
	for _, h := range c.config.HeadEnds {
		list = append(list, h.compiled())
	}
	c.imports = headend.New(headend.Config{Log: c.kafka, Topics: names, Store: c.store, HeadEnds: list, Logger: c.log})
}

// NewImport makes what imports files of a head-end beside a cloud that runs.
func NewImport(config Config, dir string, s *store.Store, id string) (headend.Import, error) {
	at := slices.IndexFunc(config.HeadEnds, func(h HeadEnd) bool { return h.ID == id })
	if at < 0 {
		var known []string
		for _, h := range config.HeadEnds {
			known = append(known, h.ID)
		}
		return headend.Import{}, fmt.Errorf("head-end %q isn't in the configuration, which has %q under head_ends", id, known)
	}
	options, names, err := connection(config, dir)
	return headend.Import{Log: options, Topics: names, Store: s, HeadEnd: config.HeadEnds[at].compiled()}, err
}
