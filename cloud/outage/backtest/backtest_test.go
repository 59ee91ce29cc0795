package backtest_test

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/backtest"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
)

const street = `
sources: [{id: grid, node: bus}]
switches:
  - {id: breaker, from: bus, to: a, type: breaker, signal: Pos}
  - {id: fuse, from: b, to: c, type: fuse}
  - {id: tie, from: c, to: bus, type: load-switch, normally_open: true}
lines: [{id: line, from: a, to: b}]
service_points: [{id: p1, node: c}, {id: p2, node: c, phases: A}, {id: p3, node: b}]
`

func network(t testing.TB) *grid.Model {
	m, findings := gridfile.ReadYAML("street.yaml", []byte(street))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return &m
}

const told = `{"arrival_us":1000000,"source_us":1000000,"kind":"meter","point":"p1","gateway":"g","powered_by":"measured"}
{"arrival_us":60000000,"source_us":59000000,"kind":"position","switch":"breaker","open":true,"locked_out":true}

{"arrival_us":61000000,"source_us":60000000,"kind":"last-gasp","point":"p1"}
{"arrival_us":3661000000,"source_us":3660000000,"kind":"position","switch":"breaker","open":false}
{"arrival_us":3665000000,"source_us":3664000000,"kind":"power-up","point":"p1"}
`

func TestEvidenceInAFileBecomesFindings(t *testing.T) {
	r, err := backtest.Run(network(t), outage.Defaults(), strings.NewReader(told))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 1 || r.Evidence != 5 {
		t.Fatalf("%+v", r)
	}
	if f := r.Findings[0]; f.Device != "breaker" || f.Start != 59e6 || f.End != 3660e6 || len(f.Points) != 3 || f.Detected < 60e6 || f.Detected > 70e6 {
		t.Errorf("%+v", f)
	}
}

func TestAnErrorNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		told + "{":                            "line 7: ",
		`{"arrival_us":1,"kind":"last-gasp"}`: "line 1: last-gasp without point",
		strings.Replace(told, `"arrival_us":61000000`, `"arrival_us":1`, 1): "line 4: it arrived before",
	} {
		if _, err := backtest.Run(network(t), outage.Defaults(), strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Whatever the evidence is, it is taken or refused.
func FuzzRun(f *testing.F) {
	f.Add(told)
	f.Add(`{"arrival_us":1,"kind":"voltage","point":"p2","levels":[0,50,100]}
{"arrival_us":2,"kind":"voltage","asset":"c","levels":[0,0,0]}
{"arrival_us":3,"kind":"gateway","gateway":"g","asset":"nowhere"}
{"arrival_us":4,"kind":"position","switch":"line","open":true,"phases":"AB","by":"ann"}
{"arrival_us":5,"kind":"position","switch":"tie","open":false}
{"arrival_us":6,"kind":"position","switch":"breaker","bad":true}
{"arrival_us":7,"kind":"point-out","point":"p3","by":"ann"}
{"arrival_us":8,"kind":"deny","incident":"o-1"}`)
	m := network(f)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := backtest.Run(m, outage.Defaults(), strings.NewReader(text)); err != nil {
			return
		}
	})
}
