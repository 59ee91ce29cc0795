package replay

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// tell has two gateways tell of three hours.
func (w *world) tell() {
	w.Helper()
	for _, gateway := range []string{"gw-a", "gw-b"} {
		w.birth(gateway, -time.Hour)
		for _, minute := range []time.Duration{0, 1, 59, 60, 61, 90, 150} {
			of := minute * time.Minute
			w.block(w.topics.Telemetry(), gateway, of, of+time.Minute)
		}
		w.block(w.topics.Backfill(), gateway, 10*time.Minute, 80*time.Minute) // waited
		w.account(gateway, 0, 16*time.Minute, 1)
		w.account(gateway, 60*time.Minute, 76*time.Minute, 1)
	}
	w.alarm("gw-a", "early", telemetry.AlarmRaised, 10*time.Minute)
	w.alarm("gw-a", "early", telemetry.AlarmCleared, 70*time.Minute)
	w.alarm("gw-a", "within", telemetry.AlarmRaised, 65*time.Minute)
	w.alarm("gw-a", "within", telemetry.AlarmCleared, 66*time.Minute)
	for n, id := range []string{"b-moved", "b-input", "b-untold"} {
		after := time.Duration(67+2*n) * time.Minute
		w.alarm("gw-b", id, telemetry.AlarmRaised, after)
		w.alarm("gw-b", id, telemetry.AlarmCleared, after+time.Minute)
	}
	w.alarm("gw-b", "late", telemetry.AlarmRaised, 85*time.Minute)
	w.account("gw-b", 60*time.Minute, 140*time.Minute, 2) // again
	w.alarm("gw-b", "late", telemetry.AlarmCleared, 150*time.Minute)
	w.alarm("gw-b", "after", telemetry.AlarmRaised, 151*time.Minute)
	w.writeAll()
	w.takeIn()
	w.pack()
}

func found(list []Difference) (out []string) {
	for _, d := range list {
		out = append(out, string(d.Kind)+" "+d.What+" "+strings.Join(d.Key, " "))
	}
	return out
}

func counted(r *Report, what string) Count {
	return r.Compared[slices.IndexFunc(r.Compared, func(c Count) bool { return c.What == what })]
}

// Whatever of the log is replayed, it comes to what the cloud has, and to the same each
// time.
func TestAReplayComesToTheSame(t *testing.T) {
	comesToTheSame(t, newWorld(t))
}

func TestTortureReplayFromKafka(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("BUSBAR_TORTURE isn't set")
	}
	comesToTheSame(t, newWorldOnKafka(t))
}

func comesToTheSame(t *testing.T, w *world) {
	t.Helper()
	w.tell()
	if _, err := alarm.Acknowledge(t.Context(), w.live, "within", "Ana", "", at(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	// What another system tells of doesn't come by the log.
	outside := alarm.Alert{Fingerprint: "f", Rule: "DiskFull", Priority: telemetry.High, Began: at(time.Hour)}
	if err := alarm.TakeAlerts(t.Context(), w.live, "alertmanager", []alarm.Alert{outside}, at(time.Hour)); err != nil {
		t.Fatal(err)
	}
	whole := w.replay(0, 0, All)
	if !whole.Same || whole.EdgeCount != 0 || len(whole.Notes) != 0 {
		t.Errorf("%s", textOf(whole))
	}
	if n := counted(whole, "alarms"); n.Live != 7 || n.Replay != 7 {
		t.Errorf("alarms %+v", n)
	}
	if n := counted(whole, "samples"); n.Live != 2*8*240 || n.Replay != n.Live {
		t.Errorf("samples %+v", n)
	}
	if n := counted(whole, "summaries"); n.Live == 0 || n.Replay != n.Live {
		t.Errorf("summaries %+v", n)
	}

	part := w.replay(60*time.Minute, 120*time.Minute, All)
	if !part.Same {
		t.Errorf("%s", textOf(part))
	}
	edge := found(part.Edge)
	for _, want := range []string{
		"differs alarm id=early", // its raise
		"differs alarm id=late",  // its clearing
		"differs account gateway=gw-b device=meter-0 epoch=0000000000000007 quarter=" + text(store.QuarterNumber(at(time.Hour))) + " quarters=1",
		"extra samples gateway=gw-a device=meter-0 name=PhV.phsA unit=V kind=gauge hour=" + base.Format("2006-01-02T15Z"),
	} {
		if !slices.Contains(edge, want) {
			t.Errorf("at the edge are %s, want %s among them", strings.Join(edge, "\n"), want)
		}
	}
	// A key that is revoked by now has signed what it has.
	if err := w.live.RevokeKey(t.Context(), "gw-b", record.KeyIDOf(identitytest.Public(identitytest.Key("gw-b"))), "Ana", "", at(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	revoked := w.replay(60*time.Minute, 120*time.Minute, All)
	if !revoked.Same || !slices.Equal(found(revoked.Edge), edge) {
		t.Errorf("%s", textOf(revoked))
	}
	if n := counted(part, "alarms"); n.Replay != 6 {
		t.Errorf("alarms %+v", n)
	}
	one, err := json.Marshal(revoked)
	if err != nil {
		t.Fatal(err)
	}
	if two, _ := json.Marshal(w.replay(60*time.Minute, 120*time.Minute, All)); string(one) != string(two) {
		t.Errorf("once it comes to %s\nand then to %s", one, two)
	}
}

// What is changed in the cloud's store is named, and nothing else, of the whole log and
// of a part of it.
func TestAReplayNamesWhatDiffers(t *testing.T) {
	w := newWorld(t)
	w.tell()
	w.change(`DELETE FROM alarm_event WHERE alarm = 'within'`)
	w.change(`DELETE FROM alarm_input WHERE alarm = 'within'`)
	w.change(`DELETE FROM alarm WHERE id = 'within'`)
	w.change(`INSERT INTO alarm (id, gateway, rule, asset, device, priority, summary, active, acknowledged, raised, confirmed, decided, acknowledged_by, comment)
		VALUES ('false', 'gw-a', 'r', '', '', 'low', '', TRUE, FALSE, ?, 0, ?, '', '')`, int64(at(70*time.Minute)), int64(at(70*time.Minute)))
	w.change(`UPDATE alarm SET raised = raised + 1 WHERE id = 'b-moved'`)
	w.change(`UPDATE alarm_input SET value = 0.25 WHERE alarm = 'b-input'`)
	w.change(`DELETE FROM alarm_event WHERE alarm = 'b-untold' AND action = 'cleared'`)
	w.change(`UPDATE account SET missed = 1 WHERE quarter = ? AND device IN (SELECT id FROM device WHERE gateway = 'gw-a')`, store.QuarterNumber(at(time.Hour)))
	w.samples("gw-a", "meter-0", "PhV.phsA", func(s telemetry.Sample) []telemetry.Sample {
		s.Value = telemetry.FloatValue(1e6)
		return []telemetry.Sample{s}
	})
	w.samples("gw-a", "meter-0", "PhV.phsB", func(telemetry.Sample) []telemetry.Sample { return nil })
	w.samples("gw-a", "meter-1", "PhV.phsA", func(s telemetry.Sample) []telemetry.Sample { return []telemetry.Sample{s, s} })
	w.change(`UPDATE rollup SET sum_value = sum_value + 1 WHERE width = 60 AND start_time = ? AND series = (SELECT id FROM series
		WHERE gateway = 'gw-b' AND device = 'meter-1' AND name = 'PhV.phsB')`, int64(at(time.Hour)))
	w.change(`DELETE FROM rollup WHERE width = 15 AND start_time >= ? AND start_time < ? AND series IN (SELECT id FROM series
		WHERE gateway = 'gw-b' AND device = 'meter-0')`, int64(at(time.Hour)), int64(at(2*time.Hour)))
	of := func(gateway, device, name string) string {
		return " gateway=" + gateway + " device=" + device + " name=" + name + " unit=V kind=gauge hour=" + base.Add(time.Hour).Format("2006-01-02T15Z")
	}
	want := []string{
		"differs alarm id=b-moved",
		"extra alarm id=false",
		"missing alarm id=within",
		"differs alarm input alarm=b-input position=0",
		"missing alarm transition alarm=b-untold action=cleared at=" + text(int64(at(72*time.Minute))-10) + " actor=gateway gw-b",
		"differs account gateway=gw-a device=meter-0 epoch=0000000000000007 quarter=" + text(store.QuarterNumber(at(time.Hour))) + " quarters=1",
		"differs samples" + of("gw-a", "meter-0", "PhV.phsA"),
		"missing samples" + of("gw-a", "meter-0", "PhV.phsB"),
		"twice samples" + of("gw-a", "meter-1", "PhV.phsA"),
		"missing summary" + of("gw-b", "meter-0", "PhV.phsA"),
		"missing summary" + of("gw-b", "meter-0", "PhV.phsB"),
		"differs summary" + of("gw-b", "meter-1", "PhV.phsB"),
	}
	for _, window := range [][2]time.Duration{{0, 0}, {60 * time.Minute, 120 * time.Minute}} {
		r := w.replay(window[0], window[1], All)
		if got := found(r.Differences); r.Same || r.Count != len(want) || !slices.Equal(got, want) {
			t.Errorf("from %s to %s:\n%s", window[0], window[1], textOf(r))
		}
	}
	r := w.replay(0, 0, Alarms)
	if got := found(r.Differences); !slices.Equal(got, want[:6]) {
		t.Errorf("alarms alone:\n%s", textOf(r))
	}
	r = w.replay(0, 0, Ingest)
	if got := found(r.Differences); !slices.Equal(got, want[6:]) {
		t.Errorf("ingest alone:\n%s", textOf(r))
	}
	if d := r.Differences[0]; d.Samples != 1 || d.At != base.Add(time.Hour+5*time.Second).Format("2006-01-02T15:04:05.000000Z") || d.Fields[0].Live != "1e+06 (good)" || d.Fields[0].Replay == d.Fields[0].Live {
		t.Errorf("a changed value is shown as %+v", d)
	}
}

// samples changes one sample of an hour that the cloud has packed.
func (w *world) samples(gateway, device, name string, change func(telemetry.Sample) []telemetry.Sample) {
	w.Helper()
	var series telemetry.SignalID
	var bundle int64
	hour := store.HourOf(at(time.Hour))
	err := w.live.Write(w.Context(), func(t *store.Tx) error {
		if err := t.QueryRow(`SELECT id, bundle FROM series WHERE gateway = ? AND device = ? AND name = ?`, []any{gateway, device, name}, &series, &bundle); err != nil {
			return err
		}
		var block []byte
		if err := t.QueryRow(`SELECT block FROM packed WHERE bundle = ? AND hour = ?`, []any{bundle, hour}, &block); err != nil {
			return err
		}
		var decoder telemetry.Decoder
		_, samples, err := decoder.Block(block, nil)
		if err != nil {
			return err
		}
		n := slices.IndexFunc(samples, func(s telemetry.Sample) bool { return s.Signal == series && s.Time == at(time.Hour+5*time.Second) })
		samples = slices.Replace(samples, n, n+1, change(samples[n])...)
		var encoder telemetry.Encoder
		if block, err = encoder.AppendBlock(nil, telemetry.TableRef{}, samples); err != nil {
			return err
		}
		_, err = t.Exec(`UPDATE packed SET block = ? WHERE bundle = ? AND hour = ?`, block, bundle, hour)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}
