package signallist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// decode makes text of what spreadsheets write: UTF-8 or UTF-16 with or without a mark, or
// else Latin-1.
func decode(b []byte) (string, error) {
	for _, mark := range []struct {
		is    string
		order binary.ByteOrder
	}{{"\xFF\xFE", binary.LittleEndian}, {"\xFE\xFF", binary.BigEndian}} {
		if strings.HasPrefix(string(b), mark.is) {
			units := make([]uint16, 0, len(b)/2)
			for at := 2; at+1 < len(b); at += 2 {
				units = append(units, mark.order.Uint16(b[at:]))
			}
			return string(utf16.Decode(units)), nil
		}
	}
	text := strings.TrimPrefix(string(b), "\uFEFF")
	switch {
	case strings.ContainsRune(text, 0):
		return "", errors.New("this is no text, expected a table as CSV")
	case utf8.ValidString(text):
		return text, nil
	}
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes), nil
}

// separatorOf is what there is most of in the first lines; skip is how many rows say only
// what it is.
func separatorOf(text string) (separator rune, skip int) {
	if rest, says := strings.CutPrefix(text, "sep="); says && rest != "" {
		r, _ := utf8.DecodeRuneInString(rest)
		if strings.ContainsRune(",;\t|", r) {
			return r, 1
		}
	}
	if len(text) > 4096 {
		text = text[:4096]
	}
	separator, most := ';', 0
	for _, s := range ";\t," {
		if n := strings.Count(text, string(s)); n > most {
			separator, most = s, n
		}
	}
	return separator, 0
}

// synonyms are what columns are called, in small letters and without what is between words.
var synonyms = map[string][]string{
	"name":           {"name", "signal", "signalname", "tag", "tagname", "point", "pointname", "bezeichnung", "kennung"},
	"ioa":            {"ioa", "address", "addr", "ioaddress", "objectaddress", "infoobjectaddress", "informationobjectaddress", "objadr", "adresse", "objektadresse", "informationsobjektadresse"},
	"common_address": {"ca", "coa", "casdu", "caasdu", "commonaddress", "asduaddress", "commonaddressofasdu", "stationaddress", "gemeinsameadresse"},
	"type":           {"type", "asdutype", "typeid", "typeidentification", "ti", "typ", "typkennung"},
	"unit":           {"unit", "units", "uom", "engineeringunit", "einheit"},
	"scale":          {"scale", "factor", "multiplier", "gain", "faktor", "skalierung"},
	"offset":         {"offset", "versatz"},
	"kind":           {"kind"},
	"deadband":       {"deadband", "threshold", "totband"},
}

var columnKeys = func() map[string]string {
	all := map[string]string{}
	for key, names := range synonyms {
		for _, n := range names {
			all[n] = key
		}
	}
	return all
}()

// keyOf is the key that a column of that heading is for. What stands in brackets, such as a
// unit, doesn't count.
func keyOf(heading string) (key string, known bool) {
	heading, _, _ = strings.Cut(heading, "(")
	heading, _, _ = strings.Cut(heading, "[")
	key, known = columnKeys[strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, heading)]
	return key, known
}

// take notes what a cell says, as it is written in YAML.
func take(keys map[string]string, key, cell string) error {
	switch key {
	case "name":
		keys[key] = nameOf(cell)
		return nil
	case "ioa", "common_address":
		n, err := addressOf(cell, map[string]int{"ioa": 3, "common_address": 2}[key])
		keys[key] = strconv.FormatUint(n, 10)
		return err
	case "type":
		return takeType(keys, cell)
	case "unit":
		if u, known := units[cell]; known {
			cell = u
		}
		keys[key] = strconv.Quote(cell)
		return nil
	case "kind":
		keys[key] = strconv.Quote(strings.ToLower(cell)) // before what the type says
		return nil
	case "deadband":
		if number, percent := strings.CutSuffix(cell, "%"); percent {
			v, err := numberOf(strings.TrimSpace(number))
			keys[key] = v + "%"
			return err
		}
	}
	v, err := numberOf(cell)
	keys[key] = v
	return err
}

// numberOf is a number, with a point or a comma before its fraction.
func numberOf(cell string) (string, error) {
	text := cell
	if strings.Count(text, ",") == 1 && !strings.Contains(text, ".") {
		text = strings.Replace(text, ",", ".", 1)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v != v || v > 1e300 || v < -1e300 {
		return "", fmt.Errorf("%q, expected a number", cell)
	}
	return strconv.FormatFloat(v, 'g', -1, 64), nil
}

// addressOf is an address as one number, or as octets with the highest first.
func addressOf(cell string, most int) (uint64, error) {
	wrong := fmt.Errorf("%q, expected a number, or octets like %s, the highest first", cell, []string{"0.1", "0.0.1"}[most-2])
	parts := strings.FieldsFunc(cell, func(r rune) bool { return r == '.' || r == '-' || r == '/' })
	if len(parts) > most || len(parts) == 0 || strings.Trim(cell, ".-/") != cell {
		return 0, wrong
	}
	if len(parts) == 1 {
		base := 10
		digits, hex := strings.CutPrefix(strings.ToLower(cell), "0x")
		if hex {
			base = 16
		}
		n, err := strconv.ParseUint(digits, base, 8*most)
		if err != nil {
			return 0, wrong
		}
		return n, nil
	}
	var n uint64
	for _, part := range parts {
		octet, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return 0, wrong
		}
		n = n<<8 | octet
	}
	return n, nil
}

// takeType takes an ASDU type: its number, the standard's name, or the middle of that.
func takeType(keys map[string]string, cell string) error {
	text := strings.ToUpper(cell)
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && asdu.Type(n).Known() {
		text = asdu.Type(n).String()
	}
	parts := strings.Split(text, "_")
	middle := parts[0]
	if len(parts) > 1 && parts[0] == "M" {
		middle = parts[1]
	}
	m, known := meanings[middle]
	switch {
	case text == "BOOL":
		keys["type"] = "bool"
	case !known:
		return fmt.Errorf("%q, expected the type of an ASDU that tells a value, such as M_ME_NC_1, 13 or ME, or bool", cell)
	default:
		if m.t != "" {
			keys["type"] = string(m.t)
		}
		if m.kind != "" && keys["kind"] == "" {
			keys["kind"] = strconv.Quote(string(m.kind))
		}
	}
	return nil
}

// units are what tables call those of UCUM.
var units = map[string]string{
	"°C": "Cel", "degC": "Cel", "C": "Cel", "°": "deg", "kWh": "kW.h", "MWh": "MW.h", "GWh": "GW.h", "Wh": "W.h", "VAr": "var", "kVAr": "kvar", "MVAr": "Mvar",
	"kVArh": "kvar.h", "MVArh": "Mvar.h", "kVA": "kV.A", "MVA": "MV.A", "VA": "V.A", "-": "1", "none": "1",
}

// nameOf is a name of a signal: letters and digits stay, what is between becomes an
// underscore.
func nameOf(cell string) string {
	var b strings.Builder
	gap := false
	for _, r := range cell {
		text := letters[r]
		switch {
		case text != "":
		case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			text = string(r)
		case r == '.' && b.Len() > 0 && !gap:
			b.WriteByte('.')
			continue
		default:
			gap = b.Len() > 0
			continue
		}
		if gap && !strings.HasSuffix(b.String(), ".") {
			b.WriteByte('_')
		}
		gap = false
		if first := b.Len() == 0 || strings.HasSuffix(b.String(), "."); first && unicode.IsDigit(r) {
			b.WriteByte('N')
		}
		b.WriteString(text)
	}
	return strings.TrimRight(b.String(), ".")
}

// letters are how those outside ASCII are written.
var letters = map[rune]string{'ä': "ae", 'ö': "oe", 'ü': "ue", 'Ä': "Ae", 'Ö': "Oe", 'Ü': "Ue", 'ß': "ss", 'é': "e", 'è': "e", 'ê': "e", 'à': "a", 'ç': "c", 'ø': "oe", 'å': "aa"}
