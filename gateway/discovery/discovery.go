// Package discovery finds out which units answer behind a Modbus endpoint and what
// they are, and proposes how to configure them. It only reads.
package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/profile"
)

// Bus asks units of one endpoint, one request at a time; modbus.Prober is one.
type Bus interface {
	Registers(ctx context.Context, unit uint8, table modbus.Table, first, count uint16) ([]byte, error)
	Identify(ctx context.Context, unit uint8) (modbus.Identification, error)
	ServerID(ctx context.Context, unit uint8) ([]byte, error)
}

// Endpoint is what was found behind one.
type Endpoint struct {
	Endpoint string `json:"endpoint"`          // as a configuration names it
	Through  string `json:"through,omitempty"` // the gateway that did the asking, as it reads from there

	Asked   int       `json:"asked"` // units
	Of      int       `json:"of"`    // units that were to be asked
	Units   []Unit    `json:"units"` // that answered, as they were asked
	Unclear []Unclear `json:"unclear,omitempty"`
	// AsOne says that the endpoint answers for any unit: it is a device and no
	// gateway. One of its units stands for it.
	AsOne bool `json:"as_one,omitempty"`
	// NoUnits is how many units a gateway said that it doesn't reach.
	NoUnits int `json:"no_units,omitempty"`
	// Error is why fewer units were asked, of an endpoint beside others.
	Error string `json:"error,omitempty"`
}

// Unit is what answers behind a unit identifier.
type Unit struct {
	Unit uint8 `json:"unit"`
	// Answer is how it answered first: with a value, or an exception.
	Answer string `json:"answer"`
	// Device is the id of the device that it is configured as already.
	Device string `json:"device,omitempty"`
	// Same is the unit that this one is under another number.
	Same *uint8 `json:"same,omitempty"`

	Vendor   string `json:"vendor,omitempty"`
	Model    string `json:"model,omitempty"`
	Revision string `json:"revision,omitempty"`
	Serial   string `json:"serial,omitempty"`
	// Says is all that it says of itself, one thing each.
	Says []string `json:"says,omitempty"`

	SunSpec    *SunSpec    `json:"sunspec,omitempty"`
	Candidates []Candidate `json:"candidates,omitempty"` // the most likely first
}

// Unclear is a unit that didn't answer, and wasn't just silent either.
type Unclear struct {
	Unit  uint8  `json:"unit"`
	Error string `json:"error"`
}

// Progress is a unit that was asked, and where the scan has come to with it; with
// Asked 0 it has begun.
type Progress struct {
	Asked int   `json:"asked"`
	Of    int   `json:"of"`
	Unit  uint8 `json:"unit"`

	Found   *Unit  `json:"found,omitempty"`   // what it is, if it answered
	NoUnit  bool   `json:"no_unit,omitempty"` // a gateway says that it doesn't reach it
	Unclear string `json:"unclear,omitempty"` // why what came was no answer
}

// Scanner is what a scan goes by. It isn't changed.
type Scanner struct {
	Profiles []profile.Profile // that a unit may be read by
	// Device is the id of the device that a unit is configured as, "" if it isn't.
	// Nil: none is.
	Device func(unit uint8) string
}

// Scan asks units in turn whether they are there, and those that are what they are,
// and shows each. It fails if the endpoint can't be reached, or ctx ends.
func (s Scanner) Scan(ctx context.Context, bus Bus, units []uint8, show func(Progress)) error {
	for i, unit := range units {
		p := Progress{Asked: i + 1, Of: len(units), Unit: unit}
		var err error
		p.Found, err = s.try(asker{ctx, bus, unit})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, modbus.ErrUnreachable):
			return err
		case code(err) == pathUnavailable || code(err) == targetSilent:
			p.NoUnit = true
		case err != nil && !modbus.NoAnswer(err):
			p.Unclear = modbus.Printable([]byte(err.Error()))
		}
		show(p)
	}
	return nil
}

// Take adds what a scan of the endpoint has shown.
func (e *Endpoint) Take(p Progress) {
	e.Asked, e.Of = p.Asked, p.Of
	switch {
	case p.Found != nil:
		e.Units = append(e.Units, *p.Found)
		e.join()
	case p.NoUnit:
		e.NoUnits++
	case p.Unclear != "":
		e.Unclear = append(e.Unclear, Unclear{p.Unit, p.Unclear})
	}
}

// What a gateway says in the place of a unit that isn't there (Modbus Application
// Protocol V1.1b3, 7).
const (
	pathUnavailable = 0x0A
	targetSilent    = 0x0B
)

func code(err error) byte { return modbus.ExceptionOf(err) }

// asker asks one unit.
type asker struct {
	ctx  context.Context
	bus  Bus
	unit uint8
}

func (a asker) registers(table modbus.Table, first, count uint16) ([]byte, error) {
	return a.bus.Registers(a.ctx, a.unit, table, first, count)
}

// gone reports whether there is no use in asking more: the scan has ended, or the
// endpoint is away.
func (a asker) gone(err error) bool {
	return a.ctx.Err() != nil || errors.Is(err, modbus.ErrUnreachable)
}

// try asks whether a unit is there: for one register, which almost all devices
// answer, be it with an exception. It fails if nobody says that it is.
func (s Scanner) try(a asker) (*Unit, error) {
	_, err := a.registers(modbus.Holding, 0, 1)
	if refused := code(err); err != nil && (refused == 0 || refused == pathUnavailable || refused == targetSilent) {
		return nil, err
	}
	u := &Unit{Unit: a.unit, Answer: "a value"}
	if err != nil {
		u.Answer = fmt.Sprintf("exception %d", code(err))
	}
	if s.Device != nil {
		u.Device = s.Device(a.unit)
	}
	return u, u.identify(a, s.Profiles)
}

// identify finds out what a unit is that answers. It fails only when the scan has
// ended.
func (u *Unit) identify(a asker, profiles []profile.Profile) error {
	if err := u.ask(a); err != nil {
		return err
	}
	var err error
	if u.SunSpec, err = walk(a); err != nil {
		return err
	}
	if u.SunSpec != nil {
		u.takeCommon()
		u.Candidates = u.SunSpec.candidates(profiles)
	}
	if len(u.Candidates) == 0 {
		u.Candidates, err = rank(a, profiles, u.Says)
	}
	return err
}

// ask takes what the unit says by functions 43 and 17.
func (u *Unit) ask(a asker) error {
	id, err := a.bus.Identify(a.ctx, a.unit)
	if a.gone(err) {
		return err
	}
	u.Vendor, u.Revision = id.Text(modbus.ObjectVendor), id.Text(modbus.ObjectRevision)
	for _, object := range []byte{modbus.ObjectModel, modbus.ObjectProductName, modbus.ObjectProductCode} {
		if u.Model == "" {
			u.Model = id.Text(object)
		}
	}
	for _, o := range id.Objects {
		if text := modbus.Printable(o.Value); text != "" {
			u.Says = append(u.Says, fmt.Sprintf("%s: %s", objectName(o.ID), text))
		}
	}
	if len(id.Objects) > 0 {
		return nil
	}
	server, err := a.bus.ServerID(a.ctx, a.unit)
	if a.gone(err) {
		return err
	}
	if text := letters(server); text != "" {
		u.Says = append(u.Says, "server id: "+text)
	}
	return nil
}

func objectName(id byte) string {
	names := [...]string{"vendor", "product code", "revision", "url", "product", "model", "application"}
	if int(id) < len(names) {
		return names[id]
	}
	return fmt.Sprintf("object %#x", id)
}

// String says in a line what a unit is, and what it is read by.
func (u Unit) String() string {
	text := fmt.Sprintf("unit %d%s", u.Unit, strings.TrimSuffix(u.description(), "."))
	if u.Device != "" {
		return text + ", configured as " + u.Device
	}
	for i, c := range u.likely() {
		if text += ", "; i == 0 {
			text += "read by "
		}
		text += fmt.Sprintf("%s (%d of 100)", c.Profile, c.Score)
	}
	return text
}

// letters are the words in bytes of which the standard doesn't say what they are.
func letters(b []byte) string {
	text := make([]byte, len(b))
	for i, c := range b {
		if text[i] = ' '; c >= ' ' && c <= '~' {
			text[i] = c
		}
	}
	words := slices.DeleteFunc(strings.Fields(string(text)), func(w string) bool { return len(w) < 3 })
	return strings.Join(words, " ")
}

// join finds which of the units are one. A device that has no units behind it often
// answers whatever it is asked for; then it answers for 0 and 255, too, which by the
// standard mean the device at the endpoint itself (Modbus Messaging on TCP/IP V1.0b,
// 4.4.2). Where it doesn't, equal devices are several.
func (e *Endpoint) join() {
	own := slices.IndexFunc(e.Units, func(u Unit) bool { return u.Unit == 0 || u.Unit == 255 })
	if own < 0 {
		return
	}
	self := e.Units[own].looks()
	first := -1 // one that is configured rather than one that isn't
	for i, u := range e.Units {
		if u.looks() == self && (first < 0 || e.Units[first].Device == "" && u.Device != "") {
			first = i
		}
	}
	for i := range e.Units {
		if i != first && e.Units[i].looks() == self {
			e.AsOne = true
			e.Units[i].Same = &e.Units[first].Unit
		}
	}
}

// looks is what doesn't change about a unit but its number.
func (u Unit) looks() string {
	u.Unit, u.Same, u.Device = 0, nil, ""
	var profiles []Candidate
	for _, c := range u.Candidates {
		profiles = append(profiles, Candidate{Profile: c.Profile, Base: c.Base})
	}
	u.Candidates = profiles
	text, _ := json.Marshal(u)
	return string(text)
}
