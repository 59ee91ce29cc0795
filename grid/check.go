package grid

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check is everything that is wrong with a model: with its assets at any time,
// and with the network that they make at t, in microseconds since 1970 UTC. The
// findings are in the order of their places.
func (m *Model) Check(t int64) []Finding {
	c := checker{model: m, byID: map[string][]version{}}
	c.collect()
	c.ids()
	c.values()
	c.references()
	(&networkChecker{checker: &c, s: m.At(t)}).check()
	SortFindings(c.findings)
	return c.findings
}

type version struct {
	kind  Kind
	index int // in the list of its kind
	asset *Asset
}

type checker struct {
	model    *Model
	byID     map[string][]version // in the order of their beginnings
	hints    int                  // how often the nearest id was looked for
	findings []Finding
}

func (c *checker) add(severity Severity, code string, a *Asset, format string, args ...any) {
	c.findings = append(c.findings, Finding{severity, code, a.Place, a.ID, fmt.Sprintf(format, args...)})
}

func (c *checker) collect() {
	c.model.Each(func(kind Kind, index int, a *Asset) {
		c.byID[a.ID] = append(c.byID[a.ID], version{kind, index, a})
	})
	for _, versions := range c.byID {
		slices.SortStableFunc(versions, func(x, y version) int { return cmp.Compare(x.asset.ValidFrom, y.asset.ValidFrom) })
	}
}

// maxID is the longest id, in characters.
const maxID = 128

// ids checks the ids, and that each stands for one asset at a time.
func (c *checker) ids() {
	c.model.Each(func(kind Kind, _ int, a *Asset) {
		if why := badID(a.ID); why != "" {
			c.add(Error, BadID, a, "the id of this %s %s", kind, why)
		}
		if a.ValidTo != 0 && a.ValidTo <= a.ValidFrom {
			c.add(Error, BadValidity, a, "valid_to %s is not after valid_from %s", a.ValidTo, a.ValidFrom)
		}
	})
	for _, versions := range c.byID {
		for i, v := range versions[1:] {
			before, a := versions[i], v.asset
			switch {
			case before.kind != v.kind:
				c.add(Error, DuplicateID, a, "this %s has the id of a %s%s", v.kind, before.kind, alsoAt(before.asset))
			case before.asset.ValidTo == 0 && a.ValidFrom == 0 && a.ValidTo == 0:
				c.add(Error, DuplicateID, a, "there is another %s of this id%s", v.kind, alsoAt(before.asset))
			case before.asset.ValidTo == 0 || before.asset.ValidTo > a.ValidFrom:
				c.add(Error, Overlap, a, "its validity overlaps with that of the %s of the same id%s", before.kind, alsoAt(before.asset))
			}
		}
	}
}

func alsoAt(a *Asset) string {
	if place := a.Place.String(); place != "" {
		return " at " + place
	}
	return ""
}

func badID(id string) string {
	switch {
	case id == "":
		return "is missing"
	case !utf8.ValidString(id):
		return "is not UTF-8 text"
	case utf8.RuneCountInString(id) > maxID:
		return fmt.Sprintf("has %d characters, expected at most %d", utf8.RuneCountInString(id), maxID)
	case strings.TrimSpace(id) != id:
		return "begins or ends with a space"
	case strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "has a character that can't be printed"
	}
	return ""
}

// values checks what an asset says of itself.
func (c *checker) values() {
	m := c.model
	sameNode := func(a *Asset, from, to string) {
		if from == to && from != "" {
			c.add(Error, SameNode, a, "both its ends are at node %s", from)
		}
	}
	for i := range m.Lines {
		sameNode(&m.Lines[i].Asset, m.Lines[i].From, m.Lines[i].To)
	}
	for i := range m.Switches {
		v := &m.Switches[i]
		sameNode(&v.Asset, v.From, v.To)
		if v.Signal == "" && (v.Device != "" || v.Gateway != "") {
			c.add(Error, IncompletePosition, &v.Asset, "it has a device or a gateway and no signal, expected the signal that shows its position")
		} else if v.Gateway != "" && v.Device == "" {
			c.add(Error, IncompletePosition, &v.Asset, "it has a gateway and no device, expected the device that has the signal")
		}
	}
	for i := range m.Transformers {
		v := &m.Transformers[i]
		sameNode(&v.Asset, v.From, v.To)
		switch {
		case v.HighVoltage == 0 || v.LowVoltage == 0:
		case v.HighVoltage == v.LowVoltage:
			c.add(Warning, SameVoltage, &v.Asset, "both its windings are for %s", v.HighVoltage)
		case v.HighVoltage < v.LowVoltage:
			c.add(Error, SameVoltage, &v.Asset, "its high voltage, %s, is below its low voltage, %s", v.HighVoltage, v.LowVoltage)
		}
	}
	for i := range m.ServicePoints {
		if v := &m.ServicePoints[i]; v.Customers < 0 {
			c.add(Error, NegativeCustomers, &v.Asset, "it has %d customers, expected 0 or more", v.Customers)
		}
	}
	for i := range m.Feeders {
		v := &m.Feeders[i]
		if v.Head == "" {
			c.add(Warning, FeederNoBreaker, &v.Asset, "it has no head, expected the circuit breaker that supplies it")
			continue
		}
		for _, head := range c.byID[v.Head] {
			what := head.kind.String()
			if head.kind == KindSwitch {
				if m.Switches[head.index].Type.Protective() {
					continue
				}
				what = m.Switches[head.index].Type.String()
			}
			if head.kind == KindSwitch || head.kind == KindLine || head.kind == KindTransformer {
				c.add(Warning, FeederNoBreaker, &v.Asset, "its head %s is a %s, expected a breaker, recloser or fuse, so that a fault on it costs no other feeder its supply", v.Head, what)
				break
			}
		}
	}
}
