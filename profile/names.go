package profile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

const (
	mostStates   = 256
	longestState = 64 // bytes
)

// Names are what the values are called, of a signal that has been checked.
func (s Signal) Names() (states telemetry.States, flags telemetry.Flags) {
	for key, name := range s.States {
		if states == nil {
			states = telemetry.States{}
		}
		value, _ := strconv.ParseInt(key, 0, 64)
		states[value] = name
	}
	for key, name := range s.Flags {
		if flags == nil {
			flags = telemetry.Flags{}
		}
		bit, _ := strconv.ParseUint(key, 0, 8)
		flags[uint8(bit)] = name
	}
	return states, flags
}

// names checks what the values are called.
func (k checker) names(path string, s Signal) {
	if len(s.States) == 0 && len(s.Flags) == 0 {
		return
	}
	p := s.Point()
	if p.Type = s.impliedType(); s.Node != "" && s.Type == "" {
		p.Type = modbus.Int64 // the server says what it is
	}
	integer, unsigned := p.Integer()
	states, flags := path+".states", path+".flags"
	switch {
	case len(s.States) > 0 && len(s.Flags) > 0:
		k.Errorf(flags, "states are given too, expected one of them")
	case len(s.States) > 0 && !integer:
		k.Errorf(states, "only an integer without scale, offset and factor has states, or a bit")
	case len(s.Flags) > 0 && (!unsigned || p.Type == modbus.Bool):
		k.Errorf(flags, "only an unsigned integer without scale, offset and factor has flags")
	}
	if s.Kind != "" && s.Kind != telemetry.State {
		k.Errorf(path+".kind", "%s, but the signal has states or flags, expected %s", s.Kind, telemetry.State)
	}
	low, high := p.Bounds()
	k.named(states, s.States, mostStates, func(key string) (string, error) {
		value, err := strconv.ParseInt(key, 0, 64)
		if err != nil || octal(key) || integer && (value < low || value >= 0 && uint64(value) > high) {
			return "", fmt.Errorf("%s, expected a whole number from %d to %d", strconv.Quote(key), low, high)
		}
		return strconv.FormatInt(value, 10), nil
	})
	last := bitsIn(high) - 1
	k.named(flags, s.Flags, 64, func(key string) (string, error) {
		bit, err := strconv.ParseUint(key, 0, 8)
		if err != nil || octal(key) || unsigned && bit > last {
			return "", fmt.Errorf("%s, expected the number of a bit from 0 to %d", strconv.Quote(key), last)
		}
		return strconv.FormatUint(bit, 10), nil
	})
}

func bitsIn(high uint64) (n uint64) {
	for ; high != 0; high >>= 1 {
		n++
	}
	return max(n, 1)
}

// octal reports whether some readers take a number for an octal one.
func octal(key string) bool {
	digits := strings.TrimLeft(key, "+-")
	return len(digits) > 1 && digits[0] == '0' && digits[1] != 'x' || strings.ContainsAny(key, "_+")
}

// named checks one list of names. number is the key in one form.
func (k checker) named(path string, names map[string]string, most int, number func(key string) (string, error)) {
	if len(names) > most {
		k.Errorf(path, "%d names, expected at most %d", len(names), most)
		return
	}
	keys, numbers := map[string]string{}, map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		name, at := names[key], configfile.Join(path, key)
		n, err := number(key)
		if err != nil {
			k.Errorf(at, "%s", err)
			continue
		}
		if other, twice := numbers[n]; twice {
			k.Errorf(at, "%s is the same number, expected each once", other)
		}
		numbers[n] = key
		if !isName(name) {
			k.Errorf(at, "%q, expected a name of 1 to %d bytes that can be printed, without spaces around it", name, longestState)
		} else if other, twice := keys[name]; twice {
			k.Errorf(at, "%q is the name of %s already, expected a name of its own", name, other)
		}
		keys[name] = key
	}
}

func isName(name string) bool {
	return name != "" && len(name) <= longestState && name == strings.TrimSpace(name) && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
