package public

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/public/cap"
	"github.com/busbar/busbar/telemetry"
)

// Ledger is what has been told before: which public ids outages have, and which alerts are
// in force. It isn't public, as it has the operator's ids.
type Ledger struct {
	Version int               `json:"version"`
	Outages map[string]*entry `json:"outages"` // by the operator's id
}

// entry is an outage of the ledger.
type entry struct {
	Public string           `json:"public"`
	Seen   telemetry.Micros `json:"seen_us"` // when it was last in a picture
	Alerts []message        `json:"alerts,omitempty"`
	Told   told             `json:"told"` // by the last of them
}

// message is an alert that was sent.
type message struct {
	Identifier string   `json:"identifier"`
	Sender     string   `json:"sender"`
	Sent       int64    `json:"sent"` // seconds since 1970
	Kind       cap.Kind `json:"kind"`
	Title      string   `json:"title"`
	Expires    int64    `json:"expires"`
}

// told is what decides whether an alert says something new.
type told struct {
	Planned   bool     `json:"planned"`
	Confirmed bool     `json:"confirmed"`
	Since     int64    `json:"since"`
	P80       int64    `json:"p80"` // seconds since 1970
	Customers int64    `json:"customers"`
	Areas     []string `json:"areas"`
	Cause     Cause    `json:"cause"`
}

const (
	// alertExpires is how long an alert holds, and renewBefore how long before its end it is
	// said again: who publishes no more doesn't leave alerts behind for long.
	alertExpires = 2 * time.Hour
	renewBefore  = 30 * time.Minute
	// tellLater is by how much the expected end must have moved.
	tellLater = 30 * time.Minute
	// keepAlerts is how long alerts stay in the feed that are in force no more.
	keepAlerts = 24 * time.Hour
)

// NewLedger is one of which nothing has been told.
func NewLedger() *Ledger { return &Ledger{Version: 1, Outages: map[string]*entry{}} }

// ParseLedger reads one.
func ParseLedger(src []byte) (*Ledger, error) {
	l := NewLedger()
	if err := json.Unmarshal(src, l); err != nil {
		return nil, fmt.Errorf("public: what has been told: %w", err)
	}
	if l.Version != 1 {
		return nil, fmt.Errorf("public: what has been told: version %d, expected 1", l.Version)
	}
	if l.Outages == nil {
		l.Outages = map[string]*entry{}
	}
	seen := map[string]bool{}
	for id, e := range l.Outages {
		if e == nil || !isPublicID(e.Public) || seen[e.Public] {
			return nil, fmt.Errorf("public: what has been told of outage %q is damaged", id)
		}
		seen[e.Public] = true
		e.Told.Cause = cmp.Or(formerCauses[e.Told.Cause], e.Told.Cause)
		for _, m := range e.Alerts {
			if !strings.HasPrefix(m.Identifier, e.Public+"-") || !isFileName(m.Identifier) {
				return nil, fmt.Errorf("public: what has been told of outage %q is damaged", id)
			}
		}
	}
	return l, nil
}

// formerCauses are codes by the words that ledgers had for them before.
var formerCauses = map[Cause]Cause{"Weather": Weather, "Tree or branch": Tree, "Animal": Animal, "Damage by others": ByOthers,
	"Equipment failed": Equipment, "Planned work": Work, "Supply from another network": Upstream}

// publicIDBytes is how many random bytes a public id has.
const publicIDBytes = 8

func isPublicID(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == publicIDBytes && strings.ToLower(text) == text
}

func isFileName(text string) bool {
	for _, r := range text {
		if !(r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z') {
			return false
		}
	}
	return text != ""
}

// name is the public id of an outage. It says nothing of the outage: an id made of the
// operator's could be tried out.
func (l *Ledger) name(id string) string {
	if e := l.Outages[id]; e != nil {
		return e.Public
	}
	b := make([]byte, publicIDBytes)
	rand.Read(b)
	l.Outages[id] = &entry{Public: hex.EncodeToString(b)}
	return l.Outages[id].Public
}

// alertsOf brings the ledger up to a picture, and is the alerts that are new by it, by
// identifier. Outages of fewer customers than the floor have none: it would tell where they
// are. While the picture isn't current, nothing is told.
func (l *Ledger) alertsOf(p Picture, o Options, now telemetry.Micros) map[string]cap.Alert {
	names := map[string]Area{}
	for _, a := range p.Areas {
		names[a.ID] = a
	}
	current := now.Sub(p.At) <= o.Stale
	alerts := map[string]cap.Alert{}
	present := map[string]bool{}
	for _, out := range p.Outages {
		l.name(out.ID)
		e := l.Outages[out.ID]
		e.Seen = now
		says, areas := contentOf(out, names)
		if len(areas) == 0 {
			// Nobody knows how many: what was told stays until it expires.
			present[out.ID] = slices.ContainsFunc(out.Areas, func(part Part) bool { return part.Customers < 0 })
			continue
		}
		present[out.ID] = true
		if current && e.wants(says, now) {
			e.tell(alerts, out, says, areas, o, now)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.Outages)) {
		e := l.Outages[id]
		last := len(e.Alerts) - 1
		switch {
		case !present[id] && current && last >= 0 && e.Alerts[last].Kind != cap.Cancel:
			e.cancel(alerts, o, now)
		case !present[id] && now.Sub(e.Seen) > keepAlerts:
			delete(l.Outages, id)
		case last >= 0:
			e.forget(now)
		}
	}
	return alerts
}

// contentOf is what there is to tell of an outage, of the areas where enough customers are
// concerned.
func contentOf(out Outage, areas map[string]Area) (told, []cap.Area) {
	says := told{Planned: out.Planned, Confirmed: out.Confirmed, Since: int64(out.Since / 1e6), P80: int64(out.P80 / 1e6), Cause: out.Cause}
	if out.Planned {
		says.P80 = int64(out.Until / 1e6)
	}
	var where []cap.Area
	for _, part := range out.Areas {
		a, known := areas[part.Area]
		if !known || part.Customers < Floor {
			continue
		}
		says.Customers += part.Customers
		says.Areas = append(says.Areas, part.Area)
		area := cap.Area{Name: a.Name, Geocodes: []cap.Named{{Name: "area", Value: a.ID}}}
		for _, p := range a.Outline {
			area.Polygon = append(area.Polygon, cap.Position(p))
		}
		if n := len(area.Polygon); n > 0 && area.Polygon[0] != area.Polygon[n-1] {
			area.Polygon = append(area.Polygon, area.Polygon[0])
		}
		if len(area.Polygon) < 4 {
			area.Polygon = nil
		}
		where = append(where, area)
	}
	slices.SortFunc(where, func(a, b cap.Area) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(says.Areas)
	return says, where
}

// wants says whether what there is to tell is new.
func (e *entry) wants(says told, now telemetry.Micros) bool {
	if len(e.Alerts) == 0 {
		return true
	}
	last, before := e.Alerts[len(e.Alerts)-1], e.Told
	moved := time.Duration(math.Abs(float64(says.P80-before.P80))) * time.Second
	grown := math.Abs(float64(says.Customers-before.Customers)) > 0.2*float64(before.Customers)
	return last.Kind == cap.Cancel || says.Planned != before.Planned || says.Confirmed != before.Confirmed || !slices.Equal(says.Areas, before.Areas) ||
		says.Cause != before.Cause || moved > tellLater || grown || time.Unix(last.Expires, 0).Sub(now.Time()) < renewBefore
}

// tell makes an alert. What begins anew after it was cancelled is a first alert again.
func (e *entry) tell(alerts map[string]cap.Alert, out Outage, says told, areas []cap.Area, o Options, now telemetry.Micros) {
	a := e.next(cap.New, o, now)
	expires := now.Time().Add(alertExpires)
	if out.Planned {
		expires = expires.Add(max(0, out.Since.Sub(now)))
	}
	info := cap.Info{Urgency: "Immediate", Severity: "Minor", Certainty: "Likely", Onset: out.Since.Time(), Expires: expires, SenderName: o.Operator, Contact: o.Contact}
	switch {
	case out.Planned && out.Since > now:
		info.Urgency = "Future"
	case out.Planned:
		info.Urgency = "Expected"
	}
	if out.Confirmed || out.Planned {
		info.Certainty = "Observed"
	}
	switch {
	case says.Customers >= 10_000:
		info.Severity = "Severe"
	case says.Customers >= 1000:
		info.Severity = "Moderate"
	}
	for i, w := range o.languages() {
		words := w.alert(says, areas, o)
		info.Language, info.Event, info.Headline, info.Description, info.Web = w.Tag, words.event, words.headline, words.description, o.URL
		if i > 0 && o.URL != "" {
			info.Web += o.pageName(w)
		}
		info.Areas = slices.Clone(areas)
		for j := range info.Areas {
			info.Areas[j].Name = cmp.Or(info.Areas[j].Name, w.Elsewhere)
		}
		a.Infos = append(a.Infos, info)
	}
	e.Told = says
	e.add(alerts, a, a.Infos[0].Headline, expires)
}

func (e *entry) cancel(alerts map[string]cap.Alert, o Options, now telemetry.Micros) {
	last := e.Alerts[len(e.Alerts)-1]
	a := e.next(cap.Cancel, o, now)
	w := o.languages()[0]
	a.Note = say(w.NoteOver, "n", strconv.Itoa(Floor))
	e.add(alerts, a, say(w.HeadlineOver, "headline", last.Title), now.Time().Add(keepAlerts))
}

// next is an alert after those that were sent. It refers to the one in force.
func (e *entry) next(kind cap.Kind, o Options, now telemetry.Micros) cap.Alert {
	sent, n := now.Time().Truncate(time.Second), 0
	a := cap.Alert{Sender: o.Sender, Kind: kind}
	if last := len(e.Alerts) - 1; last >= 0 {
		m := e.Alerts[last]
		fmt.Sscanf(m.Identifier[len(e.Public)+1:], "%d", &n)
		if m.Kind != cap.Cancel {
			a.References = []cap.Reference{{Identifier: m.Identifier, Sender: m.Sender, Sent: time.Unix(m.Sent, 0)}}
			if kind == cap.New {
				a.Kind = cap.Update
			}
		}
		if earliest := time.Unix(m.Sent+1, 0); sent.Before(earliest) {
			sent = earliest
		}
	}
	a.Sent, a.Identifier = sent, fmt.Sprintf("%s-%d", e.Public, n+1)
	return a
}

func (e *entry) add(alerts map[string]cap.Alert, a cap.Alert, title string, expires time.Time) {
	alerts[a.Identifier] = a
	e.Alerts = append(e.Alerts, message{a.Identifier, a.Sender, a.Sent.Unix(), a.Kind, title, expires.Unix()})
}

// forget drops alerts that have long been replaced.
func (e *entry) forget(now telemetry.Micros) {
	last := e.Alerts[len(e.Alerts)-1].Identifier
	e.Alerts = slices.DeleteFunc(e.Alerts, func(m message) bool {
		return m.Identifier != last && now.Time().Sub(time.Unix(m.Sent, 0)) > keepAlerts
	})
}
