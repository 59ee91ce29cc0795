// Package cap writes alerts of the Common Alerting Protocol 1.2 of OASIS, and a feed of them
// after RFC 4287. What it writes it has checked by those rules of the protocol that a schema
// can't say.
package cap

import (
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind says what an alert is to those before it.
type Kind string

const (
	New    Kind = "Alert"
	Update Kind = "Update" // instead of those that it refers to
	Cancel Kind = "Cancel" // those that it refers to hold no more
)

// Alert is a message to the public.
type Alert struct {
	Identifier, Sender string // without spaces, commas, < and &
	Sent               time.Time
	Kind               Kind
	Test               bool // those who get it are to do nothing
	Note               string
	References         []Reference // with Update and Cancel, the earlier messages
	Infos              []Info      // one a language; none, as with Cancel
}

// Reference names an earlier message.
type Reference struct {
	Identifier, Sender string
	Sent               time.Time
}

// Info is what an alert says.
type Info struct {
	Language                     string // after RFC 3066
	Event                        string
	Urgency, Severity, Certainty string // by the protocol's lists
	Onset, Expires               time.Time
	SenderName, Headline         string
	Description, Instruction     string
	Web, Contact                 string
	Parameters                   []Named
	Areas                        []Area
}

// Named is a value that has a name.
type Named struct {
	Name  string `xml:"valueName"`
	Value string `xml:"value"`
}

// Area is where it holds.
type Area struct {
	Name     string
	Polygon  []Position // at least four, the last one being the first; none: no polygon
	Geocodes []Named
}

// Position is by WGS 84, in degrees.
type Position struct{ Lat, Lon float64 }

const namespace = "urn:oasis:names:tc:emergency:cap:1.2"

// stamp is a time as the protocol has it: seconds and the zone, which is never Z. UTC is
// written -00:00.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") + "-00:00" }

func (r Reference) String() string { return r.Sender + "," + r.Identifier + "," + stamp(r.Sent) }

var lists = map[string][]string{
	"urgency":   {"Immediate", "Expected", "Future", "Past", "Unknown"},
	"severity":  {"Extreme", "Severe", "Moderate", "Minor", "Unknown"},
	"certainty": {"Observed", "Likely", "Possible", "Unlikely", "Unknown"},
}

// Check says what is wrong with an alert.
func (a Alert) Check() error {
	var wrong []error
	errorf := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("cap: "+format, args...)) }
	name := func(what, text string) {
		if text == "" || strings.ContainsAny(text, " ,<&\t\r\n") {
			errorf("%s %q, expected a text without spaces, commas, < and &", what, text)
		}
	}
	name("identifier", a.Identifier)
	name("sender", a.Sender)
	if a.Sent.IsZero() {
		errorf("sent is missing")
	}
	switch a.Kind {
	case New:
		if len(a.References) > 0 {
			errorf("a first alert refers to none before it")
		}
	case Update, Cancel:
		if len(a.References) == 0 {
			errorf("%s without what it refers to", a.Kind)
		}
	default:
		errorf("message type %q", a.Kind)
	}
	for _, r := range a.References {
		name("identifier of a reference", r.Identifier)
		name("sender of a reference", r.Sender)
		if r.Identifier == a.Identifier {
			errorf("it refers to itself")
		}
	}
	if len(a.Infos) == 0 && a.Kind != Cancel {
		errorf("%s without what it says", a.Kind)
	}
	languages := map[string]bool{}
	for _, i := range a.Infos {
		i.check(errorf)
		if languages[i.Language] {
			errorf("language %q is said twice", i.Language)
		}
		languages[i.Language] = true
	}
	return errors.Join(wrong...)
}

func (i Info) check(errorf func(string, ...any)) {
	for _, f := range []struct{ list, value string }{{"urgency", i.Urgency}, {"severity", i.Severity}, {"certainty", i.Certainty}} {
		found := false
		for _, v := range lists[f.list] {
			found = found || v == f.value
		}
		if !found {
			errorf("%s %q, expected one of %v", f.list, f.value, lists[f.list])
		}
	}
	if i.Event == "" {
		errorf("event is missing")
	}
	if !i.Expires.IsZero() && !i.Onset.IsZero() && i.Expires.Before(i.Onset) {
		errorf("it expires before its onset")
	}
	for _, area := range i.Areas {
		if area.Name == "" {
			errorf("an area has no name")
		}
		n := len(area.Polygon)
		if n > 0 && (n < 4 || area.Polygon[0] != area.Polygon[n-1]) {
			errorf("polygon of %s: %d positions, expected at least four, the last one being the first", area.Name, n)
		}
		for _, p := range area.Polygon {
			if !(math.Abs(p.Lat) <= 90 && math.Abs(p.Lon) <= 180) {
				errorf("polygon of %s: %v is no position", area.Name, p)
			}
		}
	}
}

type alertXML struct {
	XMLName    xml.Name  `xml:"urn:oasis:names:tc:emergency:cap:1.2 alert"`
	Identifier string    `xml:"identifier"`
	Sender     string    `xml:"sender"`
	Sent       string    `xml:"sent"`
	Status     string    `xml:"status"`
	MsgType    string    `xml:"msgType"`
	Scope      string    `xml:"scope"`
	Note       string    `xml:"note,omitempty"`
	References string    `xml:"references,omitempty"`
	Infos      []infoXML `xml:"info"`
}

type infoXML struct {
	Language    string    `xml:"language,omitempty"`
	Category    string    `xml:"category"`
	Event       string    `xml:"event"`
	Urgency     string    `xml:"urgency"`
	Severity    string    `xml:"severity"`
	Certainty   string    `xml:"certainty"`
	Onset       string    `xml:"onset,omitempty"`
	Expires     string    `xml:"expires,omitempty"`
	SenderName  string    `xml:"senderName,omitempty"`
	Headline    string    `xml:"headline,omitempty"`
	Description string    `xml:"description,omitempty"`
	Instruction string    `xml:"instruction,omitempty"`
	Web         string    `xml:"web,omitempty"`
	Contact     string    `xml:"contact,omitempty"`
	Parameters  []Named   `xml:"parameter"`
	Areas       []areaXML `xml:"area"`
}

type areaXML struct {
	Name     string  `xml:"areaDesc"`
	Polygon  string  `xml:"polygon,omitempty"`
	Geocodes []Named `xml:"geocode"`
}

// XML is the alert as it is published. The error is that of Check.
func (a Alert) XML() ([]byte, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	out := alertXML{Identifier: a.Identifier, Sender: a.Sender, Sent: stamp(a.Sent), Status: "Actual", MsgType: string(a.Kind), Scope: "Public", Note: a.Note}
	if a.Test {
		out.Status = "Test"
	}
	var references []string
	for _, r := range a.References {
		references = append(references, r.String())
	}
	out.References = strings.Join(references, " ")
	for _, i := range a.Infos {
		info := infoXML{Language: i.Language, Category: "Infra", Event: i.Event, Urgency: i.Urgency, Severity: i.Severity, Certainty: i.Certainty,
			SenderName: i.SenderName, Headline: i.Headline, Description: i.Description, Instruction: i.Instruction, Web: i.Web, Contact: i.Contact, Parameters: i.Parameters}
		if !i.Onset.IsZero() {
			info.Onset = stamp(i.Onset)
		}
		if !i.Expires.IsZero() {
			info.Expires = stamp(i.Expires)
		}
		for _, area := range i.Areas {
			var points []string
			for _, p := range area.Polygon {
				points = append(points, degrees(p.Lat)+","+degrees(p.Lon))
			}
			info.Areas = append(info.Areas, areaXML{area.Name, strings.Join(points, " "), area.Geocodes})
		}
		out.Infos = append(out.Infos, info)
	}
	text, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cap: %w", err)
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}

// degrees has a metre's precision.
func degrees(v float64) string { return strconv.FormatFloat(v, 'f', 5, 64) }
