package outage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/backtest"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/score"
	"github.com/busbar/busbar/sim/truth"
)

// storm is a scenario but for its edge.
const storm = `description: A storm.
lasts: 24h
grid: {service_points: 2000}
crews: {count: 4, travel: 25m, repair: 70m, replace: 15m, spread: 0.5}
storm: {at: 1h, lasts: 6h, faults: 30, cells: 2, radius: 3 km}
`

// played is a storm's truth, and what the engine says of its evidence.
type played struct {
	truth  bytes.Buffer
	log    []truth.Record
	result backtest.Result
	score  score.Score
}

func play(t *testing.T, text string, seed uint64) *played {
	t.Helper()
	path := filepath.Join(t.TempDir(), "storm.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
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
	if _, err := s.Run(context.Background(), scenario.Sinks{
		Truth: func(r truth.Record) error { p.log = append(p.log, r); return lines.Encode(r) },
		Evidence: func(v evidence.Event) error {
			return r.Take(outage.Evidence{Arrival: v.Arrival, Source: v.Source, Kind: outage.Kind(v.Kind), Point: v.Point, Gateway: v.Gateway, Switch: v.Switch,
				PoweredBy: v.PoweredBy, Levels: (*outage.Levels)(v.Levels), Open: v.Open, LockedOut: v.LockedOut})
		},
	}); err != nil {
		t.Fatal(err)
	}
	p.result = r.Result()
	var findings bytes.Buffer
	if err := backtest.Write(&findings, p.result.Findings); err != nil {
		t.Fatal(err)
	}
	if p.score, err = score.Compare(bytes.NewReader(p.truth.Bytes()), &findings); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTryStorm(t *testing.T) {
	seed := uint64(1)
	began := time.Now()
	p := play(t, storm+"edge: {last_gasps_lost: 0.2, false_last_gasps: 0.02, silent: 0.05}\n", seed)
	t.Log(time.Since(began))
	b, _ := json.MarshalIndent(p.score.Outages, "", " ")
	t.Logf("%s", b)
	res := p.result
	n := len(res.Findings)
	res.Findings = nil
	t.Logf("%d %+v", n, res)
	for _, r := range p.log {
		switch r.What {
		case "outage", "restored", "outage-end", "lockout", "blown", "phase-loss":
			t.Logf("%.1f %s #%d dev=%s n=%d fault=%s %v", float64(r.At-p.log[0].At)/1e6, r.What, r.Outage, r.Device, len(r.Points), r.Fault, r.Phases)
		}
	}
	for _, f := range p.result.Findings {
		t.Logf("det %.1f start %.1f end %.1f ann %.1f %s n=%d conf %.2f nested %s", float64(f.Detected-p.log[0].At)/1e6, float64(f.Start-p.log[0].At)/1e6, float64(f.End-p.log[0].At)/1e6, float64(f.Announced-p.log[0].At)/1e6, f.Device, len(f.Points), f.Confidence, f.NestedIn)
	}
}
