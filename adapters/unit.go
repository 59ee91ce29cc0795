package adapters

import "regexp"

var unitText = regexp.MustCompile(`^[!-~]{1,32}$`)

// ucum are the units that are usually written otherwise than in UCUM.
var ucum = map[string]string{
	"°C": "Cel", "ºC": "Cel", "C": "Cel", "degC": "Cel", "deg C": "Cel", "°F": "[degF]", "degF": "[degF]", "°": "deg",
	"Wh": "W.h", "kWh": "kW.h", "MWh": "MW.h", "GWh": "GW.h", "VA": "V.A", "kVA": "kV.A", "MVA": "MV.A", "Ah": "A.h", "VAh": "V.A.h", "kVAh": "kV.A.h",
	"VAr": "var", "VAR": "var", "kVAr": "kvar", "kVAR": "kvar", "MVAr": "Mvar", "MVAR": "Mvar", "kVArh": "kvarh", "kVARh": "kvarh",
	"rpm": "/min", "RPM": "/min", "1/min": "/min", "sec": "s", "hr": "h", "hrs": "h", "Ω": "Ohm", "ohm": "Ohm", "kΩ": "kOhm", "MΩ": "MOhm", "µA": "uA", "µs": "us",
	"m³": "m3", "m³/h": "m3/h", "m²": "m2", "W/m²": "W/m2", "m/s²": "m/s2", "ppm": "[ppm]", "psi": "[psi]", "PSI": "[psi]", "% RH": "%", "%RH": "%",
	"ft": "[ft_i]", "gal": "[gal_us]", "#": "1",
}

// Unit is the unit that a device gives, after UCUM, as far as it is understood; "" if it
// isn't.
func Unit(told string) string {
	if u, known := ucum[told]; known {
		return u
	}
	if unitText.MatchString(told) {
		return told
	}
	return ""
}
