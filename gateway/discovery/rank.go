package discovery

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// Candidate is a profile that a unit may be read by.
type Candidate struct {
	Profile string `json:"profile"`
	Base    uint16 `json:"base,omitempty"`
	// Score is how much speaks for it, of 100: Likely or more is worth trying.
	Score   int      `json:"score"`
	Reasons []string `json:"reasons"`
}

// Likely is the score from which a profile is proposed.
const Likely = 35

// What speaks for a profile. Registers don't say what they are, so values that look
// like those of a network are never proof.
const (
	forIdentity = 90 // registers that only this product has so
	forModel    = 40 // the device's own words name the model
	forVendor   = 10 // or its maker
	forValues   = 55 // at most, if all that were looked at are those of a network
	forSilence  = 10 // registers that are there and hold nothing
)

// rank tries the profiles that aren't of SunSpec's models. It fails only when the
// scan has ended.
func rank(a asker, profiles []profile.Profile, says []string) ([]Candidate, error) {
	var list []Candidate
	for _, p := range profiles {
		if strings.HasPrefix(p.Name, sunSpecProfiles) {
			continue
		}
		c, err := weigh(a, p, strings.Join(says, "\n"))
		if err != nil {
			return nil, err
		}
		if c.Score > 0 {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(x, y Candidate) int { return y.Score - x.Score })
	return list, nil
}

// weigh is what speaks for a profile; nothing if something speaks against it.
func weigh(a asker, p profile.Profile, says string) (Candidate, error) {
	c := Candidate{Profile: p.Name}
	for _, id := range p.Identify {
		r := id.Register(0)
		data, err := a.registers(r.Table, r.Address, 1)
		if a.gone(err) {
			return c, err
		}
		if err != nil || uint16(data[0])<<8|uint16(data[1]) != r.Value {
			return c, nil
		}
	}
	if len(p.Identify) > 0 {
		c.add(forIdentity, "its identity registers are as they should be")
	}
	v, err := look(a, p)
	if err != nil {
		return c, err
	}
	named := 0
	var by string
	if named, by = name(p, says); named > 0 && !v.absent {
		c.add(named, fmt.Sprintf("it says %s", by))
	}
	switch {
	case v.absent && named == forModel:
		return Candidate{Profile: p.Name, Score: 20, Reasons: []string{"it says " + by + ", but hasn't got the registers: " + v.why}}, nil
	case v.absent:
		return Candidate{Profile: p.Name}, nil
	case v.fits == 0:
		c.add(forSilence, "it has the registers, but they hold nothing")
	default:
		c.add(forValues*v.fits/v.of, "its values look right: "+strings.Join(v.shown, ", "))
	}
	c.Score = min(c.Score, 100)
	return c, nil
}

func (c *Candidate) add(score int, reason string) {
	c.Score += score
	c.Reasons = append(c.Reasons, reason)
}

// view is what some of a device's values are by a profile.
type view struct {
	fits, of int
	shown    []string
	absent   bool // it can't be that
	why      string
}

// sight is what a value is to be of a signal, so that it looks like one.
type sight struct {
	weight      int
	least, most float64
}

// sights are signals by which a meter of a network is known. Of the voltage, what is
// behind transformers is left out on purpose: between 10 V and 100 kV almost any
// register lies.
var sights = map[string]sight{
	"Hz":       {3, 45, 65},
	"PhV.phsA": {1, 50, 1000}, "PhV.phsB": {1, 50, 1000}, "PhV.phsC": {1, 50, 1000},
	"PPV.phsAB": {1, 80, 1750},
}

// look reads the signals of a profile by which a meter is known, each by itself. A
// value of 0, or none, is no sign of anything: that phase may be dead, or not there.
func look(a asker, p profile.Profile) (v view, err error) {
	for _, s := range p.Signals {
		sight, known := sights[s.Name]
		if !known || s.Factor != nil {
			continue
		}
		point := s.Point()
		data, err := a.registers(point.Table, point.Address, uint16(point.Size()))
		if a.gone(err) {
			return v, err
		}
		if err != nil {
			return view{absent: true, why: fmt.Sprintf("%s: %v", s.Name, err)}, nil
		}
		v.of += sight.weight
		value, reason, err := point.Decode(point.Table, point.Address, data)
		number, ok := value.Float()
		switch {
		case err == nil && (reason == telemetry.NotImplemented || reason == telemetry.NotANumber):
		case err != nil || reason != telemetry.NoReason || !ok || math.IsInf(number, 0):
			return view{absent: true, why: s.Name + " is no number"}, nil
		case number == 0:
		case number >= sight.least && number <= sight.most:
			v.fits += sight.weight
			v.shown = append(v.shown, fmt.Sprintf("%s %.4g %s", s.Name, number, s.Unit))
		default:
			return view{absent: true, why: fmt.Sprintf("%s would be %.4g %s", s.Name, number, s.Unit)}, nil
		}
	}
	v.absent = v.of == 0
	return v, nil
}

// name is how far the device's own words name a profile's product, and by which.
func name(p profile.Profile, says string) (score int, by string) {
	said := words(says)
	for _, product := range append([]string{p.Product}, p.Covers...) {
		for i, w := range words(product) {
			model := strings.ContainsFunc(w, unicode.IsDigit) && strings.ContainsFunc(w, unicode.IsLetter)
			switch {
			case !slices.Contains(said, w):
			case model:
				return forModel, strings.ToUpper(w)
			case i == 0 && score == 0:
				score, by = forVendor, w
			}
		}
	}
	return score, by
}

// words are the runs of letters and digits in a text, in lower case.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
