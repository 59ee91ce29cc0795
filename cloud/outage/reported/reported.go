// Package reported keeps outages that other systems know of, as they report them. They are
// shown beside ours and change nothing of them: whether both are about the same is for people
// to see.
package reported

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// ReportedOutage is one that another system reports. Its words and numbers are that system's.
type ReportedOutage struct {
	System    string `json:"system" doc:"Which other system reports it"`
	ID        string `json:"id" doc:"Its own"`
	Name      string `json:"name"`
	Planned   bool   `json:"planned"`
	Status    string `json:"status" doc:"In its words"`
	Cause     string `json:"cause" doc:"In its words; of a planned one the reason"`
	Comment   string `json:"comment"`
	Equipment string `json:"equipment" doc:"What has opened, under the id that it gives"`
	Feeder    string `json:"feeder" doc:"Likewise"`

	Began         *telemetry.Micros `json:"began_us" doc:"null: it doesn't say, or it hasn't begun"`
	Ended         *telemetry.Micros `json:"ended_us"`
	ExpectedStart *telemetry.Micros `json:"expected_start_us"`
	ExpectedEnd   *telemetry.Micros `json:"expected_end_us"`
	Restoration   *telemetry.Micros `json:"restoration_us" doc:"When it expects supply to be back"`
	Confidence    int               `json:"restoration_percent" doc:"How sure it is of that; 0: it doesn't say"`
	Customers     *int64            `json:"customers" doc:"Without supply at first; null: it doesn't say"`
	CustomersOut  *int64            `json:"customers_out" doc:"Without supply now; null: it doesn't say"`

	Gone     bool             `json:"gone" doc:"A complete report of its system hasn't had it any more"`
	Told     telemetry.Micros `json:"told_us" doc:"The time of the report that says so"`
	Received telemetry.Micros `json:"received_us" doc:"When it came first"`
	Changed  telemetry.Micros `json:"changed_us" doc:"When a report said something else of it last"`
	By       string           `json:"by" doc:"Who has taken that report"`

	Zone string   `json:"zone" doc:"Of the equipment, or else of the feeder, if the network has one under that id"`
	Ours []string `json:"ours" doc:"Our outages of the same equipment that go on; at most 10"`
}

// Place is its place in the list.
type Place struct {
	Began      telemetry.Micros
	System, ID string
}

func (o ReportedOutage) Place() Place { return Place{o.began(), o.System, o.ID} }

// began is when it began or is expected to, as far as it says, or else when it came.
func (o ReportedOutage) began() telemetry.Micros {
	for _, at := range []*telemetry.Micros{o.Began, o.ExpectedStart} {
		if at != nil {
			return *at
		}
	}
	return o.Received
}

// Report is what another system says.
type Report struct {
	System   string
	Document cim.Document
	// Complete says that the document has all of its outages that go on: what it lacks is
	// gone.
	Complete bool
	By       string
	At       telemetry.Micros
}

// Taken counts what has become of a report's outages.
type Taken struct {
	System    string `json:"system"`
	Added     int    `json:"added"`
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"`
	Older     int    `json:"older" doc:"Left out, as a later report has said something of them"`
	Own       int    `json:"own" doc:"Left out, as they are ours that come back"`
	Gone      int    `json:"gone" doc:"That went on, and that a complete report hasn't any more"`
}

// String is what has changed, "" if nothing has.
func (n Taken) String() string {
	var parts []string
	for _, c := range []struct {
		count int
		what  string
	}{{n.Added, "added"}, {n.Changed, "changed"}, {n.Gone, "gone"}} {
		if c.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.count, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// kept is a row.
type kept struct {
	ReportedOutage
	over int64
}

// Take keeps what another system reports. The same report again changes nothing. A document
// without a time is of now.
func Take(ctx context.Context, s *store.Store, r Report) (n Taken, err error) {
	told := r.Document.Made
	if told == 0 || told > r.At {
		told = r.At
	}
	err = s.Write(ctx, func(t *store.Tx) error {
		n = Taken{System: r.System}
		have, err := those(t, r.System, r.Document.Outages)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, of := range r.Document.Outages {
			own, err := isOwn(t, of.ID)
			switch {
			case err != nil:
				return err
			case own:
				n.Own++
				continue
			}
			seen[of.ID] = true
			now := outageOf(of)
			now.System, now.Told, now.Received, now.Changed, now.By = r.System, told, r.At, r.At, r.By
			switch was, known := have[of.ID]; {
			case !known:
				n.Added++
			case told < was.Told:
				n.Older++
				continue
			default:
				now.Received = was.Received
				if same(now, was.ReportedOutage) {
					n.Unchanged++
					if now.Changed, now.By = was.Changed, was.By; told == was.Told {
						continue
					}
				} else {
					n.Changed++
				}
			}
			if err := save(t, now, r.At); err != nil {
				return err
			}
		}
		if r.Complete {
			for id, was := range have {
				if seen[id] || was.over != 0 || told < was.Told {
					continue
				}
				n.Gone++
				was.Gone, was.Told, was.Changed, was.By = true, told, r.At, r.By
				if err := save(t, was.ReportedOutage, r.At); err != nil {
					return err
				}
			}
		}
		if n.String() == "" {
			return nil
		}
		return t.Audit(store.Change{At: r.At, By: r.By, Action: "outages-reported", Subject: "system " + r.System, Detail: n.String()})
	})
	if err != nil {
		return Taken{}, fmt.Errorf("outages that %s reports: %w", r.System, err)
	}
	return n, nil
}

// isOwn reports whether an id is that of an outage or of planned switching of ours.
func isOwn(t *store.Tx, id string) (own bool, err error) {
	err = t.QueryRow(`SELECT EXISTS (SELECT 1 FROM outage WHERE id = ?) OR EXISTS (SELECT 1 FROM planned_outage WHERE id = ?)`, []any{id, id}, &own)
	return own, err
}

// same reports whether two say the same of an outage.
func same(a, b ReportedOutage) bool {
	for _, o := range []*ReportedOutage{&a, &b} {
		o.Told, o.Received, o.Changed, o.By, o.Zone, o.Ours = 0, 0, 0, "", "", nil
	}
	return reflect.DeepEqual(a, b)
}

func outageOf(of cim.Outage) ReportedOutage {
	at := func(t telemetry.Micros) *telemetry.Micros {
		if t == 0 {
			return nil
		}
		return &t
	}
	return ReportedOutage{ID: of.ID, Name: of.Name, Planned: of.Planned, Status: of.Status, Cause: of.Cause, Comment: of.Comment, Equipment: of.Equipment, Feeder: of.Feeder,
		Began: at(of.Began), Ended: at(of.Ended), ExpectedStart: at(of.ExpectedStart), ExpectedEnd: at(of.ExpectedEnd), Restoration: at(of.Restored), Confidence: of.Confidence,
		Customers: of.Customers, CustomersOut: of.CustomersOut}
}

func save(t *store.Tx, o ReportedOutage, at telemetry.Micros) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var over, ends telemetry.Micros
	switch {
	case o.Ended != nil:
		over = *o.Ended
	case o.Gone:
		over = at
	}
	if o.Planned && o.ExpectedEnd != nil {
		ends = *o.ExpectedEnd
	}
	_, err = t.Exec(`INSERT INTO reported_outage (source, id, equipment, feeder, began, ends, over, told, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (source, id) DO UPDATE SET equipment = excluded.equipment, feeder = excluded.feeder, began = excluded.began, ends = excluded.ends,
			over = excluded.over, told = excluded.told, data = excluded.data`,
		o.System, o.ID, o.Equipment, o.Feeder, int64(o.began()), int64(ends), int64(over), int64(o.Told), string(text))
	return err
}

// those is what a system has reported of the outages that it now reports, and of those that
// go on, by id.
func those(t *store.Tx, system string, now []cim.Outage) (map[string]kept, error) {
	have := map[string]kept{}
	read := func(r *sql.Rows) error {
		var k kept
		var text string
		if err := r.Scan(&text, &k.over); err != nil {
			return err
		}
		err := json.Unmarshal([]byte(text), &k.ReportedOutage)
		have[k.ID] = k
		return err
	}
	const query = `SELECT data, over FROM reported_outage WHERE source = ? AND `
	err := t.Each(read, query+`over = 0`, system)
	for some := range slices.Chunk(now, 500) {
		args := []any{system}
		for _, of := range some {
			args = append(args, of.ID)
		}
		if err == nil {
			err = t.Each(read, query+`id IN (?`+strings.Repeat(", ?", len(some)-1)+`)`, args...)
		}
	}
	return have, err
}

// Filter is which are asked for; what is empty leaves none out.
type Filter struct {
	Open   bool // that go on, or are to come
	System string
}

// mostOurs bounds those of ours that come with one.
const mostOurs = 10

// List is what other systems have reported, what began last first.
func List(ctx context.Context, s *store.Store, f Filter, now telemetry.Micros, page store.Page[Place]) (list []ReportedOutage, err error) {
	list = []ReportedOutage{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		var of store.Conditions
		if f.Open {
			of.And(`r.over = 0 AND (r.ends = 0 OR r.ends > ?)`, int64(now))
		}
		if f.System != "" {
			of.And(`r.source = ?`, f.System)
		}
		if at := page.After; at != nil {
			of.And(`(r.began, r.source, r.id) < (?, ?, ?)`, int64(at.Began), at.System, at.ID)
		}
		of.And(t.SeenAsset(`COALESCE(e.zone, f.zone, '')`))
		if err := t.Each(func(r *sql.Rows) error {
			var o ReportedOutage
			var text string
			if err := r.Scan(&text, &o.Zone); err != nil {
				return err
			}
			zone := o.Zone
			err := json.Unmarshal([]byte(text), &o)
			o.Zone, o.Ours = zone, []string{}
			list = append(list, o)
			return err
		}, `SELECT r.data, COALESCE(e.zone, f.zone, '') FROM reported_outage r LEFT JOIN grid_asset e ON e.id = r.equipment LEFT JOIN grid_asset f ON f.id = r.feeder`+
			of.Where()+` ORDER BY r.began DESC, r.source DESC, r.id DESC LIMIT ?`, append(of.Args, page.Limit)...); err != nil {
			return err
		}
		for i := range list {
			o := &list[i]
			if o.Equipment == "" {
				continue
			}
			if err := t.Each(func(r *sql.Rows) error {
				var id string
				err := r.Scan(&id)
				o.Ours = append(o.Ours, id)
				return err
			}, `SELECT id FROM outage WHERE over = 0 AND device = ? AND `+t.SeenAsset("zone")+` ORDER BY found DESC, id LIMIT ?`, o.Equipment, mostOurs); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("outages that others report: %w", err)
	}
	return list, nil
}
