package timeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const town = `
zones: [{id: west}, {id: east}]
sources: [{id: source, node: bar}]
transformers:
  - {id: t1, from: bar, to: n1, high_voltage: 20 kV, low_voltage: 400 V, zone: west}
service_points:
  - {id: p1, node: n1}
`

// lived is a network with a transformer to which one thing of each kind has happened, one a second.
func lived(t *testing.T) *store.Store {
	t.Helper()
	s := storetest.Open(t)
	ctx := t.Context()
	m, findings := gridfile.ReadYAML("town.yaml", []byte(town))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(ctx, s); err != nil {
		t.Fatal(err, m.Check(0))
	}
	n, err := network.NewHolder(s).Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	identitytest.Enrol(t, s, "gw")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(second int) telemetry.Micros { return telemetry.Micros(second) * 1e6 }
	must(s.Write(ctx, func(tx *store.Tx) error {
		return alarm.RaiseOutage(tx, alarm.OfOutage{ID: "o1", Zone: "west", Asset: "t1", Priority: telemetry.High, Summary: "t1 is out", Began: at(1), At: at(1)})
	}))
	must(s.AddCommand(ctx, record.Command{ID: "c1", Gateway: "gw", Kind: record.Ack, Alarm: "outage-o1", By: "Ana", Issued: at(2), Expires: at(3)}))
	tag := "crew at work"
	_, err = desk.Operate(ctx, s, desk.Operated{Asset: "t1", Position: "open", Phases: "B", Tag: &tag, At: at(3), By: "Ana", Comment: "safety"})
	must(err)
	_, err = desk.Plan(ctx, s, n, desk.Planned{Devices: []string{"t1"}, From: at(10), Until: at(20), Reason: "A new tap", By: "Ben", At: at(4)}, false)
	must(err)
	must(s.Write(ctx, func(tx *store.Tx) error {
		return tx.SaveControl(record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Events}, telemetry.Control{ID: "a", Action: telemetry.ControlOperate, Device: "relay", Signal: "Tap",
			Asset: "t1", Origin: telemetry.ControlLocal, By: "Cem", Requested: "3", Outcome: telemetry.ControlDone}, at(5))
	}))
	must(s.Write(ctx, func(tx *store.Tx) error {
		return tx.SaveDisturbance("gw", telemetry.VoltageSag, telemetry.Disturbance{Device: "meter", Asset: "p1", Phase: "B", Count: 2, Since: at(5)}, at(8))
	}))
	must(s.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES ('o1', 'confirmed', 'west', '', 't1', '', 1, 0, 1, ?)`,
			`{"id":"o1","state":"confirmed","zone":"west","device":"t1"}`); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES ('o1', 'p1', 1, ?, ?)`, int64(at(6)), int64(at(9)))
		return err
	}))
	_, err = desk.Act(ctx, s, "o1", 0, lifecycle.Step{Action: lifecycle.Note, At: at(6), By: "Ana", Why: "a bird"})
	must(err)
	_, err = desk.AddCall(ctx, s, desk.Call{At: at(7), ServicePoint: "p1", Says: "no-supply", Text: "dark", By: "Ana"})
	must(err)
	return s
}

func all(t *testing.T, ctx context.Context, s *store.Store, asset string, kinds ...Kind) (list []AssetEntry) {
	t.Helper()
	list, err := Of(ctx, s, asset, kinds, store.Page[Place]{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestATimelineHasEverything(t *testing.T) {
	s := lived(t)
	var got []string
	for _, e := range all(t, t.Context(), s, "t1") {
		got = append(got, fmt.Sprintf("%d %s %s by %s: %s (%s)", e.At/1e6, e.Kind, e.Action, e.By, e.Text, e.Comment))
	}
	want := []string{
		"6 outage note by Ana:  (a bird)",
		"5 control operate by Cem: relay Tap 3: done ()",
		"4 planned entered by Ben: t1, from 1970-01-01T00:00:10Z until 1970-01-01T00:00:20Z: A new tap ()",
		"3 switching open by Ana: phases B, tagged: crew at work (safety)",
		"2 command ack by Ana: outage: t1 is out ()",
		"1 alarm raised by cloud: outage: t1 is out ()",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	got = nil
	for _, e := range all(t, t.Context(), s, "p1") {
		got = append(got, fmt.Sprintf("%d %s %s %s", e.At/1e6, e.Kind, e.Action, e.Text))
		if e.Kind == Quality != (e.Since == 5e6) || e.Kind != Quality && e.Since != 0 {
			t.Errorf("%+v", e)
		}
	}
	if want := []string{"9 outage supplied ", "8 quality voltage-sag phase B: 2, by meter", "7 call no-supply dark", "6 outage lost "}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if list := all(t, t.Context(), s, "t1", Switching, Control); len(list) != 2 || list[0].Kind != Control || list[1].Kind != Switching {
		t.Errorf("%+v", list)
	}
	if _, err := Of(t.Context(), s, "x", nil, store.Page[Place]{Limit: 1}); !errors.Is(err, store.ErrNoAsset) {
		t.Errorf("%v", err)
	}
}

func TestATimelineIsTurnedPageByPage(t *testing.T) {
	s := lived(t)
	for i := range 30 { // several at one time
		if _, err := desk.Act(t.Context(), s, "o1", 0, lifecycle.Step{Action: lifecycle.Note, At: telemetry.Micros(3e6 + i%3), By: "Ana", Why: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	want := all(t, t.Context(), s, "t1")
	var got []AssetEntry
	page := store.Page[Place]{Limit: 4}
	for {
		list, err := Of(t.Context(), s, "t1", nil, page)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, list...)
		if len(list) < page.Limit {
			break
		}
		place := list[len(list)-1].Place()
		page.After = &place
	}
	if len(want) != 36 || !slices.Equal(got, want) {
		t.Errorf("%d entries page by page, %d at once: %+v", len(got), len(want), got)
	}
	if !slices.IsSortedFunc(want, func(a, b AssetEntry) int { return cmp.Compare(b.At, a.At) }) {
		t.Errorf("%+v", want)
	}
}

func TestATimelineOfZones(t *testing.T) {
	s := lived(t)
	west := store.InZones(t.Context(), []string{"west"})
	for _, e := range all(t, west, s, "t1") {
		if e.Kind == Command || e.Kind == Control {
			t.Errorf("what a gateway of another zone has done is told: %+v", e)
		}
	}
	for _, e := range all(t, west, s, "p1") {
		if e.Kind == Quality {
			t.Errorf("what a meter of another zone has counted is told: %+v", e)
		}
	}
	if _, err := Of(store.InZones(t.Context(), []string{"east"}), s, "t1", nil, store.Page[Place]{Limit: 1}); !errors.Is(err, store.ErrNoAsset) {
		t.Errorf("%v", err)
	}
}
