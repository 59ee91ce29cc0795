// Package cim writes and reads outages as JSON that is shaped like the classes Outage,
// UnplannedOutage and PlannedOutage of IEC 61968's Common Information Model. It is
// experimental: no other system has been checked to take it or to make it, and names may
// change. It computes only.
package cim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// Outage is one, as the model knows it.
type Outage struct {
	ID, Name string // mRID and IdentifiedObject.name
	Planned  bool
	Status   string // in words, such as confirmed
	Reported telemetry.Micros
	Cause    string // UnplannedOutage.cause, PlannedOutage.reason
	Comment  string

	// Began and Ended are actualPeriod; Ended 0: it isn't over. Planned ones that haven't
	// begun have no Began.
	Began, Ended telemetry.Micros
	// ExpectedStart and ExpectedEnd are estimatedPeriod; 0: nobody has said.
	ExpectedStart, ExpectedEnd telemetry.Micros
	// Restored is estimatedRestorationTime, with how sure that is: 0 none, else a percentage.
	Restored   telemetry.Micros
	Confidence int

	Customers    *int64 // originalCustomersServed: without supply at first
	CustomersOut *int64 // customersStillOut, which is ours: those without it now
	Equipment    string // the mRID of what has opened
	Feeder       string
}

// Version names what is written, as long as it is experimental.
const Version = "busbar-cim-outage/0-experimental"

// Document is a list of outages.
type Document struct {
	Version string
	Made    telemetry.Micros
	Outages []Outage
}

type document struct {
	Format    string      `json:"format"`
	Timestamp string      `json:"timeStamp"`
	Unplanned []outageDoc `json:"UnplannedOutage"`
	Planned   []outageDoc `json:"PlannedOutage"`
}

type outageDoc struct {
	MRID      string      `json:"mRID"`
	Name      string      `json:"name,omitempty"`
	Status    *statusDoc  `json:"status,omitempty"`
	Comment   string      `json:"comment,omitempty"`
	Reported  string      `json:"reportedStartTime,omitempty"`
	Actual    *periodDoc  `json:"actualPeriod,omitempty"`
	Estimated *periodDoc  `json:"estimatedPeriod,omitempty"`
	Restored  *restoreDoc `json:"EstimatedRestorationTime,omitempty"`
	Cause     string      `json:"cause,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Affected  *int64      `json:"originalCustomersServed,omitempty"`
	Still     *int64      `json:"customersStillOut,omitempty"`
	Equipment []refDoc    `json:"Equipments,omitempty"`
	Feeder    *refDoc     `json:"Feeder,omitempty"`
}

type statusDoc struct {
	Value string `json:"value"`
}

type periodDoc struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

type restoreDoc struct {
	ERT        string `json:"ert"`
	Confidence int    `json:"confidencePercent,omitempty"`
}

type refDoc struct {
	MRID string `json:"mRID"`
}

// Write makes JSON of outages.
func Write(d Document) ([]byte, error) {
	out := document{Format: Version, Timestamp: stamp(d.Made), Unplanned: []outageDoc{}, Planned: []outageDoc{}}
	for _, o := range d.Outages {
		one := outageDoc{MRID: o.ID, Name: o.Name, Comment: o.Comment, Reported: stamp(o.Reported), Affected: o.Customers, Still: o.CustomersOut,
			Actual: period(o.Began, o.Ended), Estimated: period(o.ExpectedStart, o.ExpectedEnd)}
		if o.Status != "" {
			one.Status = &statusDoc{o.Status}
		}
		if o.Restored != 0 {
			one.Restored = &restoreDoc{stamp(o.Restored), o.Confidence}
		}
		if o.Equipment != "" {
			one.Equipment = []refDoc{{o.Equipment}}
		}
		if o.Feeder != "" {
			one.Feeder = &refDoc{o.Feeder}
		}
		if o.Planned {
			one.Reason = o.Cause
			out.Planned = append(out.Planned, one)
		} else {
			one.Cause = o.Cause
			out.Unplanned = append(out.Unplanned, one)
		}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cim: %w", err)
	}
	return text, nil
}

const (
	longestText = 1024
	mostOutages = 100_000
)

// Read reads what Write writes, and the same classes of others as far as they are named so.
// What it doesn't know it leaves out. The error names the outage.
func Read(src []byte) (Document, error) {
	var in document
	if err := json.Unmarshal(src, &in); err != nil {
		return Document{}, fmt.Errorf("cim: %w", err)
	}
	if n := len(in.Unplanned) + len(in.Planned); n > mostOutages {
		return Document{}, fmt.Errorf("cim: %d outages, expected at most %d", n, mostOutages)
	}
	d := Document{Version: in.Format}
	var err error
	if d.Made, err = instant(in.Timestamp); err != nil {
		return Document{}, fmt.Errorf("cim: timeStamp: %w", err)
	}
	seen := map[string]bool{}
	for _, list := range []struct {
		class   string
		planned bool
		outages []outageDoc
	}{{"UnplannedOutage", false, in.Unplanned}, {"PlannedOutage", true, in.Planned}} {
		for i, doc := range list.outages {
			o, err := doc.read(list.planned)
			if err == nil && seen[o.ID] {
				err = fmt.Errorf("mRID %q is there twice", o.ID)
			}
			if err != nil {
				return Document{}, fmt.Errorf("cim: %s[%d]: %w", list.class, i, err)
			}
			seen[o.ID] = true
			d.Outages = append(d.Outages, o)
		}
	}
	return d, nil
}

func (doc outageDoc) read(planned bool) (Outage, error) {
	o := Outage{ID: doc.MRID, Name: doc.Name, Planned: planned, Comment: doc.Comment, Cause: doc.Cause, Customers: doc.Affected, CustomersOut: doc.Still}
	if planned {
		o.Cause = doc.Reason
	}
	if doc.Status != nil {
		o.Status = doc.Status.Value
	}
	if len(doc.Equipment) > 0 {
		o.Equipment = doc.Equipment[0].MRID
	}
	if doc.Feeder != nil {
		o.Feeder = doc.Feeder.MRID
	}
	if doc.MRID == "" {
		return o, fmt.Errorf("mRID is missing")
	}
	if strings.ContainsFunc(o.ID, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return o, fmt.Errorf("mRID %q has a character that can't be printed", o.ID)
	}
	for name, text := range map[string]string{"mRID": o.ID, "name": o.Name, "status": o.Status, "comment": o.Comment, "cause or reason": o.Cause, "Equipments": o.Equipment, "Feeder": o.Feeder} {
		if len(text) > longestText || !utf8.ValidString(text) {
			return o, fmt.Errorf("%s has more than %d bytes, or isn't UTF-8", name, longestText)
		}
	}
	for name, n := range map[string]*int64{"originalCustomersServed": doc.Affected, "customersStillOut": doc.Still} {
		if n != nil && *n < 0 {
			return o, fmt.Errorf("%s is below zero", name)
		}
	}
	actual, estimated, restored := doc.Actual, doc.Estimated, doc.Restored
	if actual == nil {
		actual = &periodDoc{}
	}
	if estimated == nil {
		estimated = &periodDoc{}
	}
	if restored == nil {
		restored = &restoreDoc{}
	}
	if restored.Confidence < 0 || restored.Confidence > 100 {
		return o, fmt.Errorf("confidencePercent %d is out of range, expected 0 to 100", restored.Confidence)
	}
	o.Confidence = restored.Confidence
	for _, t := range []struct {
		name, text string
		to         *telemetry.Micros
	}{{"reportedStartTime", doc.Reported, &o.Reported}, {"actualPeriod.start", actual.Start, &o.Began}, {"actualPeriod.end", actual.End, &o.Ended},
		{"estimatedPeriod.start", estimated.Start, &o.ExpectedStart}, {"estimatedPeriod.end", estimated.End, &o.ExpectedEnd}, {"EstimatedRestorationTime.ert", restored.ERT, &o.Restored}} {
		var err error
		if *t.to, err = instant(t.text); err != nil {
			return o, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if o.Ended != 0 && o.Ended < o.Began || o.ExpectedEnd != 0 && o.ExpectedEnd < o.ExpectedStart {
		return o, fmt.Errorf("a period ends before it begins")
	}
	return o, nil
}

func period(start, end telemetry.Micros) *periodDoc {
	if start == 0 && end == 0 {
		return nil
	}
	return &periodDoc{stamp(start), stamp(end)}
}

func stamp(at telemetry.Micros) string {
	if at == 0 {
		return ""
	}
	return at.Time().Format("2006-01-02T15:04:05.999999Z07:00")
}

func instant(text string) (telemetry.Micros, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9998 {
		return 0, fmt.Errorf("%q, expected a time such as 2026-03-17T12:12:20Z", text)
	}
	return telemetry.MicrosOf(t), nil
}
