package history

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/etr"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/public"
	"github.com/busbar/busbar/cloud/reliability"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const town = `
name: Town
coordinates: wgs84
zones: [{id: north, name: Northgate}, {id: south}]
substations: [{id: s, zone: north}]
sources: [{id: in, node: bus, voltage: 20 kV, zone: north}]
switches:
  - {id: b1, from: bus, to: n1, type: breaker, substation: s}
  - {id: b2, from: bus, to: n2, type: breaker, substation: s}
feeders: [{id: f1, substation: s, head: b1}, {id: f2, substation: s, head: b2}]
service_points:
  - {id: p1, node: n1, customers: 40, zone: north}
  - {id: p2, node: n1, customers: 4, zone: north}
  - {id: p3, node: n2, customers: 100, zone: south}
`

var noon = telemetry.MicrosOf(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))

const minute = telemetry.Micros(60e6)

func open(t *testing.T) *store.Store {
	t.Helper()
	s := storetest.Open(t)
	model, findings := gridfile.ReadYAML("town.yaml", []byte(town))
	if _, err := (network.Import{Model: model, Read: findings, By: "ana", Now: noon.Time()}).Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// have keeps an outage with service points that were without supply, until 0 if they are.
func have(t *testing.T, s *store.Store, o desk.Outage, points map[string][2]telemetry.Micros) {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	customers := map[string]int{"p1": 40, "p2": 4, "p3": 100, "q2": 10, "q3": 1}
	err = s.Write(t.Context(), func(tx *store.Tx) error {
		over := int64(0)
		if o.Over != nil {
			over = int64(*o.Over)
		}
		_, err := tx.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES (?, ?, ?, ?, ?, '', ?, ?, 0, ?)`,
			o.ID, string(o.State), o.Zone, o.Feeder, o.Device, int64(o.Found), over, string(data))
		for _, id := range slices.Sorted(maps.Keys(points)) {
			if err == nil {
				_, err = tx.Exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES (?, ?, ?, ?, ?)`, o.ID, id, customers[id], int64(points[id][0]), int64(points[id][1]))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func of(id string, state lifecycle.State, began telemetry.Micros) desk.Outage {
	return desk.Outage{ID: id, State: state, Class: "sustained", Device: "b1", DeviceKind: "switch", Feeder: "f1", Zone: "north", Began: began, Found: began + minute}
}

func TestIndicesOfWhatIsStored(t *testing.T) {
	s := open(t)
	over := of("a", lifecycle.Completed, noon-300*minute)
	over.Cause, over.Failure, over.Over = "tree", "overhead-line", ptr(noon)
	have(t, s, over, map[string][2]telemetry.Micros{"p1": {noon - 300*minute, noon - 200*minute}, "p2": {noon - 300*minute, noon - 240*minute}, "p3": {noon - 300*minute, noon - 200*minute}})
	have(t, s, of("b", lifecycle.Confirmed, noon-30*minute), map[string][2]telemetry.Micros{"p2": {noon - 30*minute, 0}})
	have(t, s, of("none", lifecycle.Dismissed, noon-30*minute), map[string][2]telemetry.Micros{"p3": {noon - 30*minute, 0}})
	in, err := Interruptions(t.Context(), s, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := reliability.ProfileOf("ieee1366")
	rows := reliability.Report(in, reliability.Question{Profile: p, Periods: []reliability.Period{reliability.Year(2026, time.UTC)}, By: reliability.ByFeeder})
	whole := rows[0].Totals
	if whole.CustomersServed != 144 || whole.CI != 148 || whole.CMI != 140*100+4*60+4*30 || *whole.CN != 144 || rows[0].Final || whole.Open != 1 {
		t.Errorf("%+v", whole)
	}
	if len(rows) != 3 || rows[1].Group != "f1" || rows[1].Totals.CI != 48 || rows[2].Totals.CMI != 10_000 {
		t.Errorf("%+v", rows[1:])
	}
	if in.Steps[0].Cause != "tree" || in.Steps[0].Substation != "s" {
		t.Errorf("%+v", in.Steps[0])
	}
	// Who sees one zone counts what is of it.
	in, err = Interruptions(store.InZones(t.Context(), []string{"south"}), s, 0, noon)
	if err != nil || len(in.Steps) != 1 || in.Steps[0].Area != "south" || len(in.Served) != 1 || in.Served[0].Customers != 100 {
		t.Errorf("%+v, %v", in, err)
	}
}

// Load is that of the transformers, by their customers: 400 kVA of q1 and q2, 40 of each ten
// customers. What is supplied by the large one itself has none.
func TestLoadIsThatOfTransformers(t *testing.T) {
	s := storetest.Open(t)
	model, findings := gridfile.ReadYAML("town.yaml", []byte(`
sources: [{id: in, node: hv}]
transformers:
  - {id: large, from: hv, to: bus, high_voltage: 110 kV, low_voltage: 20 kV, rated_power: 40 MVA}
  - {id: small, from: bus, to: lv, high_voltage: 20 kV, low_voltage: 400 V, rated_power: 400 kVA}
service_points:
  - {id: q1, node: lv, customers: 90}
  - {id: q2, node: lv, customers: 10}
  - {id: q3, node: bus, customers: 1}
`))
	if _, err := (network.Import{Model: model, Read: findings, By: "ana", Now: noon.Time()}).Save(t.Context(), s); err != nil {
		t.Fatal(err, findings)
	}
	have(t, s, of("a", lifecycle.Completed, noon-60*minute), map[string][2]telemetry.Micros{"q2": {noon - 60*minute, noon}, "q3": {noon - 60*minute, noon - 30*minute}})
	in, err := Interruptions(t.Context(), s, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := reliability.ProfileOf("bnetza")
	row := reliability.Report(in, reliability.Question{Profile: p, Periods: []reliability.Period{reliability.Year(2026, time.UTC)}})[0]
	// Of 400 kVA a tenth was without supply, for an hour.
	for index, want := range map[reliability.Index]float64{reliability.ASIFI: 0.1, reliability.ASIDI: 6} {
		if got := row.Totals.Of(index, p); got == nil || *got != want {
			t.Errorf("%s: %v, want %v", index, got, want)
		}
	}
}

func TestHowRightEstimatesWere(t *testing.T) {
	s := open(t)
	good, bad := of("good", lifecycle.Completed, noon-300*minute), of("bad", lifecycle.Restored, noon-300*minute)
	good.Restored, bad.Restored = ptr(noon-250*minute), ptr(noon-100*minute)
	good.DeviceKind = "transformer"
	have(t, s, good, nil)
	have(t, s, bad, nil)
	have(t, s, of("none", lifecycle.Dismissed, noon-300*minute), nil)
	for id, by := range map[string]string{"good": "cloud", "bad": "Ana", "none": "cloud"} {
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO outage_estimate (outage, at, p50, p80, actor) VALUES (?, ?, ?, ?, ?)`, id, int64(noon-290*minute), int64(noon-260*minute), int64(noon-200*minute), by)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := EstimateRecord(t.Context(), s, noon-300*minute, noon, ByAuthor)
	if err != nil || len(list) != 3 || list[0].Group != "" || list[1].Group != "cloud" || list[2].Group != "people" {
		t.Fatalf("%+v, %v", list, err)
	}
	if r := list[0]; r.Estimates != 2 || *r.Coverage80 != 0.5 || *r.Coverage50 != 0 {
		t.Errorf("%+v", r)
	}
	// It took 10 and 160 min longer than the median said, 50 less and 100 more than the other.
	if r := list[1]; *r.Coverage80 != 1 || *r.Pinball50 != 5 || math.Abs(*r.Pinball80-10) > 1e-9 {
		t.Errorf("%+v: %v %v", r, *r.Pinball50, *r.Pinball80)
	}
	if r := list[2]; *r.Coverage80 != 0 || *r.Pinball50 != 80 || *r.Pinball80 != 80 {
		t.Errorf("%+v: %v %v", r, *r.Pinball50, *r.Pinball80)
	}
	if list, err := EstimateRecord(t.Context(), s, noon, noon, ByDevice); err != nil || len(list) != 1 || list[0].Estimates != 0 || list[0].Coverage80 != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := EstimateRecord(t.Context(), s, 0, noon, ByDevice); err != nil || len(list) != 3 || list[1].Group != "switch" || list[2].Group != "transformer" {
		t.Errorf("%+v, %v", list, err)
	}
}

// An outage in which supply came back and was lost again is as many interruptions, but to
// who counts customers once in each.
func TestARelapseIsAnotherInterruption(t *testing.T) {
	s := open(t)
	have(t, s, of("a", lifecycle.Completed, noon-100*minute), map[string][2]telemetry.Micros{"p1": {noon - 100*minute, noon - 60*minute}})
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO outage_earlier (outage, number, point, customers, since, until) VALUES ('a', 0, 'p1', 40, ?, ?)`, int64(noon-200*minute), int64(noon-180*minute))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := Interruptions(t.Context(), s, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"ieee1366": 80, "ofgem": 40} {
		p, ok := reliability.ProfileOf(name)
		if !ok {
			t.Fatal(name)
		}
		whole := reliability.Report(in, reliability.Question{Profile: p, Periods: []reliability.Period{reliability.Year(2026, time.UTC)}})[0].Totals
		if whole.CI != want || whole.CMI != 40*60 {
			t.Errorf("%s: %+v, want %v customers interrupted", name, whole, want)
		}
	}
}

// An area is known while all who measure in it are heard.
func TestThePublicsPicture(t *testing.T) {
	s := open(t)
	one := of("a", lifecycle.OnSite, noon-90*minute)
	one.Cause, one.Expected = "animal", &lifecycle.Estimated{P50: noon + 10*minute, P80: noon + 50*minute}
	have(t, s, one, map[string][2]telemetry.Micros{"p1": {noon - 90*minute, 0}, "p2": {noon - 90*minute, noon - 10*minute}, "p3": {noon - 90*minute, 0}})
	have(t, s, of("suspected", lifecycle.Suspected, noon-minute), map[string][2]telemetry.Micros{"p2": {noon - minute, 0}})
	have(t, s, of("restored", lifecycle.Restored, noon-minute), map[string][2]telemetry.Micros{"p2": {noon - minute, 0}})
	picture := func() public.Picture {
		t.Helper()
		p, err := Picture(t.Context(), s, noon)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := picture()
	if len(p.Areas) != 2 || p.Areas[0].Name != "Northgate" || p.Areas[1].Name != "south" || p.Areas[0].Known || p.Areas[1].Known || p.At != noon {
		t.Errorf("%+v", p)
	}
	if len(p.Outages) != 1 || !slices.Equal(p.Outages[0].Areas, []public.Part{{Area: "north", Customers: 40}, {Area: "south", Customers: 100}}) ||
		p.Outages[0].Crew != public.OnSite || p.Outages[0].Cause != public.Animal || p.Outages[0].P80 != noon+50*minute || !p.Outages[0].Confirmed {
		t.Errorf("%+v", p.Outages)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if err := s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(query, args...); return err }); err != nil {
			t.Fatal(err)
		}
	}
	known := func() (list []bool) {
		for _, a := range picture().Areas {
			list = append(list, a.Known)
		}
		return list
	}
	for i, gateway := range []string{"gw1", "gw2"} {
		err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.SavePresence(gateway, telemetry.Presence{Every: 60e6}) })
		if err != nil {
			t.Fatal(err)
		}
		exec(`INSERT INTO series (gateway, device, name, unit, asset, kind, bundle) VALUES (?, 'm', 'PhV', 'V', ?, 'gauge', ?)`, gateway, []string{"p1", "p2"}[i], i+1)
	}
	if got := known(); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("with all gateways heard: %v", got)
	}
	exec(`UPDATE presence SET silent = 1 WHERE gateway = 'gw2'`)
	if got := known(); !slices.Equal(got, []bool{false, false}) {
		t.Errorf("with one silent: %v", got)
	}
	exec(`UPDATE presence SET silent = 0, stopped = TRUE WHERE gateway = 'gw2'`)
	if got := known(); !slices.Equal(got, []bool{false, false}) {
		t.Errorf("with one stopped: %v", got)
	}
}

func TestEstimatesAreTold(t *testing.T) {
	s := open(t)
	for i := range 30 {
		began := noon - telemetry.Micros(3000+60*i)*minute
		o := of("past-"+string(rune('a'+i)), lifecycle.Completed, began)
		o.Restored, o.Over = ptr(began+90*minute), ptr(began+100*minute)
		have(t, s, o, nil)
	}
	have(t, s, of("open", lifecycle.Confirmed, noon-20*minute), map[string][2]telemetry.Micros{"p1": {noon - 20*minute, 0}})
	said := of("said", lifecycle.Confirmed, noon-20*minute)
	said.Expected = &lifecycle.Estimated{P50: noon + minute, P80: noon + minute, By: "ana"}
	have(t, s, said, nil)
	estimate := func(now telemetry.Micros, want int) {
		t.Helper()
		if told, err := Estimate(t.Context(), s, etr.DefaultPrior, now); err != nil || told != want {
			t.Errorf("%d told, want %d, %v", told, want, err)
		}
	}
	estimate(noon, 1)
	estimate(noon+minute, 0) // nothing new
	o, _, _, err := desk.Get(t.Context(), s, "open")
	if err != nil || o.Expected == nil || o.Expected.By != "cloud" {
		t.Fatal(o.Expected, err)
	}
	for name, at := range map[string]telemetry.Micros{"P50": o.Expected.P50, "P80": o.Expected.P80} {
		if d := at.Sub(noon - 20*minute); d < 80*time.Minute || d > 110*time.Minute {
			t.Errorf("%s after %s, where all took 90 min", name, d)
		}
	}
	estimate(noon+600*minute, 1) // it lasts
	if o, _, _, _ := desk.Get(t.Context(), s, "said"); o.Expected.By != "ana" {
		t.Error("what a person has said was overwritten")
	}
}

func TestAStormIsManyAtOnce(t *testing.T) {
	var list []desk.Outage
	for i := range 15 {
		list = append(list, of("x", lifecycle.Confirmed, noon+telemetry.Micros(i)*minute))
	}
	list[0].Restored = ptr(noon + 10*minute)
	storms := stormsOf(list)
	for i, storm := range storms {
		if want := i >= 11; storm != want {
			t.Errorf("%d: %v, want %v", i, storm, want)
		}
	}
}

func TestAnOutageForOthers(t *testing.T) {
	o := of("a", lifecycle.Restored, noon-90*minute)
	o.Cause, o.Customers, o.Restored, o.Expected = "tree", 44, ptr(noon), &lifecycle.Estimated{P50: noon, P80: noon + minute}
	text, err := cim.Write(cim.Document{Made: noon, Outages: []cim.Outage{CIMOf(o)}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := cim.Read(text)
	if err != nil || len(d.Outages) != 1 {
		t.Fatal(d, err)
	}
	if got := d.Outages[0]; got.Began != o.Began || got.Ended != noon || got.Restored != noon+minute || got.Confidence != 80 || got.Cause != "tree" || *got.Customers != 44 || got.Equipment != "b1" || got.Planned {
		t.Errorf("%+v", got)
	}
}
