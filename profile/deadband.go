package profile

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Deadband is how far a value may move without being reported: a number in the
// signal's unit, or with % one of the value.
type Deadband struct {
	Value   float64
	Percent bool
}

func (d Deadband) String() string {
	text := strconv.FormatFloat(d.Value, 'g', -1, 64)
	if d.Percent {
		text += "%"
	}
	return text
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Deadband) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v < 1e300) {
		return errors.New(`"` + string(text) + `", expected a number of 0 or more in the signal's unit, or like 1%`)
	}
	*d = Deadband{v, percent}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler: it takes what json.Marshal makes of one, which
// isn't its text.
func (d *Deadband) UnmarshalJSON(text []byte) error {
	type fields Deadband
	return json.Unmarshal(text, (*fields)(d))
}
