package discovery

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/profile"
)

// SunSpec is what a device has of SunSpec's models.
type SunSpec struct {
	Base   uint16  `json:"base"` // of the mark, which the models follow
	Models []Model `json:"models"`
	// Incomplete says why models may be missing; "" if the list has come to its end.
	Incomplete string `json:"incomplete,omitempty"`

	Manufacturer string `json:"manufacturer,omitempty"` // what the common model says
	Model        string `json:"model,omitempty"`
	Options      string `json:"options,omitempty"`
	Version      string `json:"version,omitempty"`
	Serial       string `json:"serial,omitempty"`
}

// Model is one of them.
type Model struct {
	ID     uint16 `json:"id"`
	Base   uint16 `json:"base"`   // where its id is
	Length uint16 `json:"length"` // registers after id and length
}

// Where a device may have its models, in holding registers, and how they are
// announced (SunSpec Device Information Model Specification V1.1, 3.2).
var sunSpecBases = []uint16{40000, 50000, 0}

const (
	sunSpecMark = "SunS"
	noMoreModel = 0xFFFF
	common      = 1

	// maxModels bounds what a device may list.
	maxModels = 128
)

// walk lists the models of a unit, nil if it isn't a SunSpec device. It fails only
// when the scan has ended.
func walk(a asker) (*SunSpec, error) {
	for _, base := range sunSpecBases {
		mark, err := a.registers(modbus.Holding, base, 2)
		switch {
		case a.gone(err):
			return nil, err
		case err == nil && string(mark) == sunSpecMark:
			s := &SunSpec{Base: base}
			if err := s.list(a); err != nil {
				return nil, err
			}
			return s, s.readCommon(a)
		}
	}
	return nil, nil
}

func (s *SunSpec) list(a asker) error {
	at := int(s.Base) + 2
	for range maxModels {
		if at+2 > 1<<16 {
			s.Incomplete = "the list doesn't end before the last address"
			return nil
		}
		head, err := a.registers(modbus.Holding, uint16(at), 2)
		if a.gone(err) {
			return err
		}
		if err != nil {
			s.Incomplete = fmt.Sprintf("no model and no end at %d: %v", at, err)
			return nil
		}
		m := Model{binary.BigEndian.Uint16(head), uint16(at), binary.BigEndian.Uint16(head[2:])}
		if m.ID == noMoreModel {
			return nil
		}
		if m.ID == 0 {
			s.Incomplete = fmt.Sprintf("no model and no end at %d, but 0", at)
			return nil
		}
		s.Models = append(s.Models, m)
		at += 2 + int(m.Length)
	}
	s.Incomplete = fmt.Sprintf("more than %d models", maxModels)
	return nil
}

// readCommon takes what the common model says, field by field: devices of small
// frames don't give all of it at once.
func (s *SunSpec) readCommon(a asker) error {
	for _, m := range s.Models {
		if m.ID != common || m.Length < 64 {
			continue
		}
		for _, f := range []struct {
			into       *string
			at, length uint16
		}{{&s.Manufacturer, 2, 16}, {&s.Model, 18, 16}, {&s.Options, 34, 8}, {&s.Version, 42, 8}, {&s.Serial, 50, 16}} {
			data, err := a.registers(modbus.Holding, m.Base+f.at, f.length)
			if a.gone(err) {
				return err
			}
			if err == nil {
				*f.into = modbus.Printable(data)
			}
		}
		return nil
	}
	return nil
}

// takeCommon has the common model say who the unit is.
func (u *Unit) takeCommon() {
	s := u.SunSpec
	for _, t := range []struct {
		into *string
		what string
		text string
	}{{&u.Vendor, "manufacturer", s.Manufacturer}, {&u.Model, "model", s.Model}, {&u.Revision, "version", s.Version}, {&u.Serial, "serial number", s.Serial}} {
		if t.text != "" {
			*t.into = t.text
			u.Says = append(u.Says, t.what+": "+t.text)
		}
	}
}

const sunSpecProfiles = "sunspec/"

// candidates are the profiles of the models that measure something.
func (s *SunSpec) candidates(profiles []profile.Profile) (list []Candidate) {
	for _, m := range s.Models {
		if m.ID == common {
			continue
		}
		for _, p := range profiles {
			if p.Name != sunSpecProfiles+strconv.Itoa(int(m.ID)) {
				continue
			}
			c := Candidate{Profile: p.Name, Base: m.Base, Score: 100, Reasons: []string{fmt.Sprintf("SunSpec model %d is at %d", m.ID, m.Base)}}
			if has := int(m.Length) + 2; p.End() > has {
				c.Score = 30
				c.Reasons = append(c.Reasons, fmt.Sprintf("with %d registers, where the profile reads %d", has, p.End()))
			}
			list = append(list, c)
		}
	}
	return list
}
