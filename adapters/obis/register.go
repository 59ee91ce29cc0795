package obis

import (
	"encoding/hex"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Register is one of a meter's values.
type Register struct {
	Code  Code
	Value telemetry.Value // a Float64 or a Text; None if the meter has none
	Unit  string          // after UCUM; "" if there is none
	// Time is when it was so by the meter's clock; zero if that is the time of reading.
	Time time.Time
	// Medium is what a meter on the M-Bus measures, by its number there, on whose channel B
	// the code is; 0: it isn't on one, or isn't known.
	Medium uint8
}

// Text is a register of text, as it is written.
func Text(c Code, text []byte) Register {
	return Register{Code: c, Value: telemetry.TextValue(string(text))}
}

// HexText is a register of text that is written in hexadecimal, as P1 ports do. What can't be
// that is taken as it is.
func HexText(c Code, text []byte) Register {
	if decoded := make([]byte, hex.DecodedLen(len(text))); len(text) >= 8 && len(text)%2 == 0 {
		if _, err := hex.Decode(decoded, text); err == nil && printable(decoded) {
			text = decoded
		}
	}
	return Text(c, text)
}

// Octets is a register of octets: a text if all of them are printable, and else hexadecimal.
func Octets(c Code, octets []byte) Register {
	if printable(octets) {
		return Register{Code: c, Value: telemetry.TextValue(string(octets))}
	}
	if len(octets) > telemetry.MaxTextBytes/2 {
		octets = octets[:telemetry.MaxTextBytes/2]
	}
	return Register{Code: c, Value: telemetry.TextValue(hex.EncodeToString(octets))}
}

func printable(octets []byte) bool {
	for _, c := range octets {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
