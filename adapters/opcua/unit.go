package opcua

import (
	"strings"

	"github.com/gopcua/opcua/ua"
)

// commonCodes is the namespace of units whose ids are the codes of UN/ECE Recommendation
// 20, their characters as the bytes of a number (OPC 10000-8, 5.6.3).
const commonCodes = "http://www.opcfoundation.org/UA/units/un/cefact"

// units are those of UN/ECE Recommendation 20 that occur in substations and plants, after
// UCUM, and var.
var units = map[string]string{
	"CEL": "Cel", "KEL": "K", "FAH": "[degF]",
	"VLT": "V", "KVT": "kV", "2Z": "mV", "AMP": "A", "4K": "mA", "B22": "kA",
	"WTT": "W", "KWT": "kW", "MAW": "MW", "A90": "GW",
	"D46": "V.A", "KVA": "kV.A", "MVA": "MV.A", "D44": "var", "KVR": "kvar", "MAR": "Mvar", "K5": "kvar",
	"WHR": "W.h", "KWH": "kW.h", "MWH": "MW.h", "GWH": "GW.h", "K3": "kvar.h",
	"HTZ": "Hz", "KHZ": "kHz", "P1": "%", "OHM": "Ohm", "B49": "kOhm", "B75": "MOhm", "FAR": "F", "4O": "uF", "81": "H", "C14": "mH",
	"PAL": "Pa", "A97": "hPa", "KPA": "kPa", "MPA": "MPa", "BAR": "bar", "MBR": "mbar",
	"MTR": "m", "MMT": "mm", "CMT": "cm", "KMT": "km", "MTK": "m2", "MTQ": "m3", "LTR": "L",
	"MQH": "m3/h", "L2": "L/min", "MQS": "m3/s", "MTS": "m/s", "KMH": "km/h",
	"SEC": "s", "MIN": "min", "HUR": "h", "C26": "ms", "B98": "us", "DAY": "d",
	"RPM": "/min", "RPS": "/s", "DD": "deg", "C81": "rad",
	"KGM": "kg", "GRM": "g", "TNE": "t", "NEW": "N", "NU": "N.m", "JOU": "J", "KJO": "kJ", "3B": "MJ",
	"59": "[ppm]", "D54": "W/m2", "E46": "kW.h/m3", "C62": "1",
}

// asWritten are units as people write them, after UCUM.
var asWritten = map[string]string{
	"°C": "Cel", "℃": "Cel", "°F": "[degF]", "°": "deg", "Ω": "Ohm", "kΩ": "kOhm", "MΩ": "MOhm", "µA": "uA", "μA": "uA", "m³": "m3", "m²": "m2",
	"VA": "V.A", "kVA": "kV.A", "MVA": "MV.A", "Wh": "W.h", "kWh": "kW.h", "MWh": "MW.h", "varh": "var.h", "kvarh": "kvar.h",
	"m³/h": "m3/h", "W/m²": "W/m2", "1/min": "/min", "rpm": "/min", "Nm": "N.m", "ppm": "[ppm]",
}

const longestUnit = 32

// unitOf is what a server says after UCUM; "" if that isn't known.
func unitOf(eu *ua.EUInformation) string {
	if eu.NamespaceURI == commonCodes && eu.UnitID > 0 {
		code := strings.TrimLeft(string([]byte{byte(eu.UnitID >> 24), byte(eu.UnitID >> 16), byte(eu.UnitID >> 8), byte(eu.UnitID)}), "\x00")
		if unit, known := units[code]; known {
			return unit
		}
	}
	if eu.DisplayName == nil {
		return ""
	}
	text := strings.TrimSpace(eu.DisplayName.Text)
	if unit, known := asWritten[text]; known {
		return unit
	}
	if text == "" || len(text) > longestUnit || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return text
}
