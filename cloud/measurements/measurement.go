package measurements

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// source is what the measurements of a series have in common.
type source struct {
	signal telemetry.Signal // its states and flags
	key    []byte           // of the record: all of a signal are in one partition, in the order of their coming
	about  []byte           // members of the object, with commas
}

// described is what a measurement says of where it comes from. docs/measurements.md
// describes it.
type described struct {
	Gateway string         `json:"gateway"`
	Site    string         `json:"site"`
	Zone    string         `json:"zone"`
	Device  string         `json:"device"`
	Asset   string         `json:"asset"`
	Signal  string         `json:"signal"`
	Unit    string         `json:"unit"`
	Kind    telemetry.Kind `json:"kind"`
}

func sourceOf(s store.Sourced) *source {
	about, err := json.Marshal(described{s.Gateway, s.Site, s.Zone, s.Device, s.Asset, s.Name, s.Unit, s.Kind})
	if err != nil {
		panic(err) // it is texts
	}
	about[0] = ','
	about[len(about)-1] = ','
	return &source{
		signal: telemetry.Signal{States: s.States, Flags: s.Flags},
		key:    []byte(s.Gateway + "/" + s.Device + "/" + s.Name), about: about,
	}
}

// longestState is in bytes. The names of many flags together may be long, and it is said
// in each measurement.
const longestState = 256

// append adds a sample as a JSON object to b. Integers are exact; what has no value, or one
// that is no finite number, is null.
func (o *source) append(b []byte, s telemetry.Sample) []byte {
	b = append(b, `{"time":"`...)
	b = s.Time.Moment().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, '"')
	b = append(b, o.about...)
	b = append(b, `"value":`...)
	b = appendNumber(b, s.Value)
	if text := s.Value.Text(); s.Value.Kind() == telemetry.Text {
		b = appendText(append(b, `,"text":`...), text)
	}
	if state := o.signal.InWords(s.Value); state != "" && len(state) <= longestState {
		b = appendText(append(b, `,"state":`...), state)
	}
	b = append(b, `,"quality":"`...)
	b = append(b, s.Quality.Validity().String()...)
	b = append(b, '"')
	if why := s.Quality.Why(); why != "" {
		b = appendText(append(b, `,"reason":`...), why)
	}
	return append(b, '}')
}

func appendNumber(b []byte, v telemetry.Value) []byte {
	switch v.Kind() {
	case telemetry.Float64:
		if f, _ := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return strconv.AppendFloat(b, f, 'g', -1, 64)
		}
	case telemetry.Int64:
		return strconv.AppendInt(b, int64(v.Bits()), 10)
	case telemetry.Uint64, telemetry.Bool:
		return strconv.AppendUint(b, v.Bits(), 10)
	}
	return append(b, "null"...)
}

func appendText(b []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // every text is one in JSON
	}
	return append(b, quoted...)
}
