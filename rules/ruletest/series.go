package ruletest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// values are those of a series, one for each moment of a test, written as
// Prometheus's promtool has them, with spaces between:
//
//	230          one value
//	230x3        a value and 3 more of it
//	230+0.5x3    230, and 3 more of which each is 0.5 higher: 230 230.5 231 231.5
//	230-0.5x3    and lower
//	true falsex3 of a state
//	_ _x3        nothing is read at this moment, and at 3 moments
//	timeoutx3    a sample without a value, of bad quality, and 3 more; see reasons
type values struct {
	runs []run
}

// run is consecutive values.
type run struct {
	end        int // the number of values up to its end
	count      int
	gap        bool
	state      bool
	first, add float64
	quality    telemetry.Quality
}

// mostValues bounds a series: at one a second, some twelve days.
const mostValues = 1 << 20

// reasons are the words for samples without a value.
var reasons = map[string]telemetry.Quality{
	"bad":             bad(telemetry.NoReason),
	"timeout":         bad(telemetry.Timeout),
	"not-connected":   bad(telemetry.NotConnected),
	"malformed":       bad(telemetry.Malformed),
	"refused":         bad(telemetry.Refused),
	"not-implemented": bad(telemetry.NotImplemented),
	"not-a-number":    bad(telemetry.NotANumber),
	"sensor-failure":  bad(telemetry.SensorFailure),
	"out-of-service":  bad(telemetry.OutOfService),
	"wrong-device":    bad(telemetry.WrongDevice),
	"stale":           bad(telemetry.NoReason) | telemetry.Stale,
}

func bad(r telemetry.Reason) telemetry.Quality {
	return telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, r)
}

// silence is the quality of samples of a device that hasn't answered.
func silence(q telemetry.Quality) bool {
	r := q.Reason()
	return q.Validity() == telemetry.Bad && !q.Has(telemetry.Stale) && (r == telemetry.NoReason || r == telemetry.Timeout || r == telemetry.NotConnected)
}

const number = `(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?`

var (
	numbers = regexp.MustCompile(`^([-+]?` + number + `)([-+]` + number + `)?(?:x([0-9]+))?$`)
	words   = regexp.MustCompile(`^(_|[a-z]+(?:-[a-z]+)*?)(?:x([0-9]+))?$`)
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *values) UnmarshalText(text []byte) error {
	*v = values{}
	for _, item := range strings.Fields(string(text)) {
		r, err := parseRun(item)
		if err != nil {
			return err
		}
		if r.count > mostValues-v.len() {
			return fmt.Errorf("%s makes more than %d values, expected at most so many in a series", item, mostValues)
		}
		r.end = v.len() + r.count
		v.runs = append(v.runs, r)
	}
	if len(v.runs) == 0 {
		return errors.New("the series is empty, expected values such as 230x10 0x3")
	}
	return nil
}

func parseRun(item string) (r run, err error) {
	part := numbers.FindStringSubmatch(item)
	if part == nil {
		return parseWord(item)
	}
	r.first, err = strconv.ParseFloat(part[1], 64)
	if err == nil && part[2] != "" {
		if part[3] == "" {
			return r, fmt.Errorf("%s doesn't say how often, expected a count such as %sx3", item, item)
		}
		r.add, err = strconv.ParseFloat(part[2], 64)
	}
	if err != nil {
		return r, fmt.Errorf("%s is beyond what a number can be", item)
	}
	r.count, err = times(part[3], 1)
	return r, err
}

func parseWord(item string) (r run, err error) {
	part := words.FindStringSubmatch(item)
	if part == nil {
		part = []string{"", item, ""}
	}
	quality, known := reasons[part[1]]
	switch {
	case part[1] == "_":
		r.gap = true
		if part[2] == "" {
			r.count = 1
			return r, nil
		}
		r.count, err = times(part[2], 0)
		return r, err
	case part[1] == "true":
		r.state, r.first = true, 1
	case part[1] == "false":
		r.state = true
	case known:
		r.quality = quality
	default:
		return r, fmt.Errorf("%q is no value, expected a number, a row such as 230+0.5x10, true or false, _ for nothing, or %s", item, strings.Join(slices.Sorted(maps.Keys(reasons)), ", "))
	}
	r.count, err = times(part[2], 1)
	return r, err
}

// times is how many values a count makes, beside those that there are without it.
func times(count string, without int) (int, error) {
	if count == "" {
		return without, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n > mostValues {
		return 0, fmt.Errorf("x%s is too often, expected at most %d values in a series", count, mostValues)
	}
	return without + n, nil
}

func (v values) len() int {
	if len(v.runs) == 0 {
		return 0
	}
	return v.runs[len(v.runs)-1].end
}

// at is the k-th value, from 0; ok is false where nothing is read.
func (v values) at(k int) (value telemetry.Value, quality telemetry.Quality, ok bool) {
	n := sort.Search(len(v.runs), func(n int) bool { return v.runs[n].end > k })
	if n == len(v.runs) || v.runs[n].gap {
		return value, quality, false
	}
	r := v.runs[n]
	switch {
	case r.quality != 0:
		return value, r.quality, true
	case r.state:
		return telemetry.BoolValue(r.first != 0), 0, true
	}
	return telemetry.FloatValue(r.first + r.add*float64(k-(r.end-r.count))), 0, true
}
