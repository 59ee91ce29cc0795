package outage_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/backtest"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/score"
	"github.com/busbar/busbar/sim/truth"
)

// storm is a scenario but for its edge: that of the library, for a day.
const storm = `description: A storm.
lasts: 24h
grid: {service_points: 2000}
crews: {count: 4, travel: 25m, repair: 70m, replace: 15m, spread: 0.5}
storm: {at: 1h, lasts: 6h, faults: 30, cells: 2, radius: 3 km}
`

// calm is a day on which only communication fails.
const calm = `description: A day without a fault.
lasts: 24h
grid: {service_points: 2000}
`

// hard is what goes wrong at the edge: a fifth of last gasps lost, 2 of 100 meters
// sending a false one a day, 5 of 100 meters silent for other reasons.
const hard = "last_gasps_lost: 0.2, false_last_gasps: 0.02, silent: 0.05"

// played is what the engine says of the evidence of a scenario, and how true that is.
type played struct {
	truth  bytes.Buffer
	result backtest.Result
	score  score.Outages
	// Momentary interruptions in truth.
	momentary int
}

func play(t *testing.T, text, edge string, seed uint64) *played {
	t.Helper()
	return follow(t, text, edge, seed, nil)
}

func follow(t *testing.T, text, edge string, seed uint64, told func(outage.Change)) *played {
	t.Helper()
	path := filepath.Join(t.TempDir(), "storm.yaml")
	if err := os.WriteFile(path, []byte(text+"edge: {"+edge+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Open(path, &seed)
	if err != nil {
		t.Fatal(err)
	}
	known, _ := s.Known()
	p := &played{}
	lines := json.NewEncoder(&p.truth)
	r := backtest.New(known.At(int64(s.Start)), outage.Defaults(), int64(s.Start))
	r.Told = told
	result, err := s.Run(context.Background(), scenario.Sinks{
		Truth: func(r truth.Record) error { return lines.Encode(r) },
		Evidence: func(v evidence.Event) error {
			return r.Take(outage.Evidence{Arrival: v.Arrival, Source: v.Source, Kind: outage.Kind(v.Kind), Point: v.Point, Gateway: v.Gateway, Switch: v.Switch,
				PoweredBy: v.PoweredBy, Levels: (*outage.Levels)(v.Levels), Open: v.Open, LockedOut: v.LockedOut})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.momentary = result.Momentary
	p.result = r.Result()
	p.score = p.compare(t, p.result.Findings)
	return p
}

func (p *played) compare(t *testing.T, findings []backtest.Finding) score.Outages {
	t.Helper()
	var told bytes.Buffer
	if err := backtest.Write(&told, findings); err != nil {
		t.Fatal(err)
	}
	s, err := score.Compare(bytes.NewReader(p.truth.Bytes()), &told)
	if err != nil {
		t.Fatal(err)
	}
	return s.Outages
}

// sums is that of several seeds.
type sums struct {
	score.Outages
	runs, momentaries, asked int
	detect                   []float64    // the seeds' medians
	calibration              [3][2]int    // below 0.7, to 0.95, and above: how many, and how many exact
	common, told, real       float64      // points
	spread                   [3][]float64 // of the seeds
}

func (s *sums) add(t *testing.T, p *played, calibrate bool) {
	o := p.score
	s.runs++
	s.True, s.Told, s.Found, s.Momentary, s.False, s.Repeated = s.True+o.True, s.Told+o.Told, s.Found+o.Found, s.Momentary+o.Momentary, s.False+o.False, s.Repeated+o.Repeated
	s.Exact, s.Adjacent, s.Other = s.Exact+o.Exact, s.Adjacent+o.Adjacent, s.Other+o.Other
	s.TrueMinutes, s.ToldMinutes, s.ExcessMinutes, s.MissedMinutes = s.TrueMinutes+o.TrueMinutes, s.ToldMinutes+o.ToldMinutes, s.ExcessMinutes+o.ExcessMinutes, s.MissedMinutes+o.MissedMinutes
	s.momentaries += p.momentary
	s.asked += p.result.Asked
	if o.DetectMedian != nil {
		s.detect = append(s.detect, *o.DetectMedian)
	}
	if !calibrate {
		return
	}
	for _, f := range p.result.Findings {
		one := p.compare(t, []backtest.Finding{f})
		if one.Found == 0 {
			continue
		}
		i := 0
		if f.Confidence >= 0.95 {
			i = 2
		} else if f.Confidence >= 0.7 {
			i = 1
		}
		s.calibration[i][0]++
		s.calibration[i][1] += one.Exact
	}
}

func share(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

const head = "| edge | true | told | found | exact | adjacent | other | false | momentary | of | repeated | minutes missed | in excess | median s | exact by confidence <0.7, <0.95, ≥0.95 |"

func (s *sums) row(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %d | %d | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %d | %d | %d | %d | %.2f %% | %.2f %% | %.1f |", name, s.True, s.Told, 100*share(s.Found, s.True),
		100*share(s.Exact, s.Found), 100*share(s.Adjacent, s.Found), 100*share(s.Other, s.Found), s.False, s.Momentary, s.momentaries, s.Repeated,
		100*s.MissedMinutes/max(s.TrueMinutes, 1), 100*s.ExcessMinutes/max(s.TrueMinutes, 1), median(s.detect))
	for _, c := range s.calibration {
		fmt.Fprintf(&b, " %.2f of %d,", share(c[1], c[0]), c[0])
	}
	return strings.TrimSuffix(b.String(), ",") + " |"
}

func torture() bool { return os.Getenv("BUSBAR_TORTURE") != "" }

func seeds(few int) uint64 {
	if torture() {
		return 50
	}
	return uint64(few)
}

// One line of docs/outage.md: what the outage desk of a utility with full metering
// gets.
func TestAStormIsUnderstood(t *testing.T) {
	s := &sums{}
	for seed := range seeds(6) {
		p := play(t, storm, hard, seed+1)
		s.add(t, p, true)
		if off := p.score.MissedMinutes + p.score.ExcessMinutes; off > 0.02*p.score.TrueMinutes {
			t.Logf("seed %d: %.0f customers' minutes missed, %.0f in excess, of %.0f", seed+1, p.score.MissedMinutes, p.score.ExcessMinutes, p.score.TrueMinutes)
		}
	}
	t.Log("\n" + head + "\n" + s.row("100 %"))
	if exact := share(s.Exact, s.Found); exact < 0.95 {
		t.Errorf("%.1f %% of the devices are exactly right, want 95", 100*exact)
	}
	if off := (s.ExcessMinutes + s.MissedMinutes) / s.TrueMinutes; off > 0.02 {
		t.Errorf("%.1f %% of the customers' minutes are missed or in excess, want 2", 100*off)
	}
	if m := median(s.detect); m > 10 {
		t.Errorf("%.1f s until an outage is probable, want 10", m)
	}
	if s.False > 0 {
		t.Errorf("%d outages were invented", s.False)
	}
	if wrong := share(s.Momentary, s.Told); wrong > 0.02 {
		t.Errorf("%.1f %% of what people were told was momentary, want 2", 100*wrong)
	}
}

// Gateways that fall silent, each by itself and many at once, are no outage.
func TestCommunicationAloneIsNoOutage(t *testing.T) {
	for seed := range seeds(2) {
		p := play(t, calm+"steps:\n  - {at: 5h, cut_off: f1, for: 1h}\n  - {at: 9h, cut_off: f2, for: 40s}\n", hard+", dropouts: 2, telecom_serves: 15, wrong_clocks: 0.02", seed+1)
		if n := len(p.result.Findings); n > 0 {
			f := p.result.Findings[0]
			t.Errorf("seed %d: %d outages; the first of %d points behind %s, from %d, %s %v", seed+1, n, len(f.Points), f.Device, f.Start, f.Incident, f.Counts)
		}
	}
}

// The table of docs/outage.md.
func TestStormsByCoverage(t *testing.T) {
	if !torture() {
		t.Skip("BUSBAR_TORTURE isn't set")
	}
	rows := []string{head}
	only := os.Getenv("ROW")
	for _, c := range []struct{ name, edge string }{
		{"100 %", hard},
		{"30 %", hard + ", metered: 0.3, calls: 0.05"},
		{"5 %", hard + ", metered: 0.05, calls: 0.05"},
		{"1 %", hard + ", metered: 0.01, calls: 0.05"},
		{"2 % topology errors", hard + ", topology_errors: 0.02"},
		{"5 % stale positions", hard + ", stale_positions: 0.05"},
		{"correlated telecom", hard + ", telecom_serves: 15, telecom_battery: 10m, dropouts: 0.2"},
		{"all at once", hard + ", metered: 0.9, calls: 0.05, topology_errors: 0.02, stale_positions: 0.05, telecom_serves: 15, dropouts: 0.2, wrong_clocks: 0.01"},
	} {
		if !strings.Contains(c.name, only) {
			continue
		}
		s := &sums{}
		for seed := range seeds(1) {
			s.add(t, play(t, storm, c.edge, seed+1), true)
		}
		rows = append(rows, s.row(c.name))
		t.Log(rows[len(rows)-1])
	}
	t.Log("\n" + strings.Join(rows, "\n"))
}

// TestOneStorm shows what differs: go test -run OneStorm -v, with SEED and EDGE.
func TestOneStorm(t *testing.T) {
	var seed uint64
	if _, err := fmt.Sscan(os.Getenv("SEED"), &seed); err != nil {
		t.Skip("SEED isn't set")
	}
	p := follow(t, storm, cmp.Or(os.Getenv("EDGE"), hard), seed, func(c outage.Change) {
		if device := os.Getenv("DEVICE"); strings.Contains(c.Incident.Device, device) && device != "" {
			x := c.Incident
			t.Logf("%9.1f %-10s %s %s %s %v out %d ever %d lossy %d start %.1f restored %.1f steps %d", float64(c.At%86400e6)/1e6, c.Kind, x.ID, x.State, x.Class, x.Phases, len(x.Out), len(x.Ever), x.Lossy, float64(x.Start%86400e6)/1e6, float64(x.RestoredAt%86400e6)/1e6, len(x.Steps))
		}
	})
	var start int64
	began, left, end := map[int]truth.Record{}, map[int]int{}, map[int]int64{}
	_ = truth.Read(bytes.NewReader(p.truth.Bytes()), func(r truth.Record) error {
		switch r.What {
		case truth.Start:
			start = r.At
		case truth.Outage:
			began[r.Outage], left[r.Outage] = r, len(r.Points)
		case truth.Restored:
			if left[r.Outage] -= len(r.Points); left[r.Outage] == 0 {
				end[r.Outage] = r.At
			}
		}
		return nil
	})
	s := func(at int64) float64 { return float64(at-start) / 1e6 }
	for i := 1; i <= len(began); i++ {
		if r := began[i]; end[i] == 0 || end[i]-r.At >= sustained {
			t.Logf("true  %8.1f to %8.1f %-20s %4d", s(r.At), s(end[i]), r.Device, len(r.Points))
		}
	}
	for _, f := range p.result.Findings {
		one := p.compare(t, []backtest.Finding{f})
		verdict := "FALSE"
		switch {
		case one.Exact > 0:
			verdict = "exact"
		case one.Adjacent > 0:
			verdict = "adjacent"
		case one.Found > 0:
			verdict = "other"
		case one.Momentary > 0:
			verdict = "momentary"
		}
		t.Logf("told  %8.1f to %8.1f %-20s %4d %-9s after %6.1f, confidence %.2f %s nested in %s", s(f.Start), s(f.End), f.Device, len(f.Points), verdict, s(f.Detected)-s(f.Start), f.Confidence, f.Incident, f.NestedIn)
	}
	out, _ := json.Marshal(p.score)
	t.Logf("%s", out)
}

const sustained = int64(180e6)
