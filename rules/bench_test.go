package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// BenchmarkUpdate reads 100 devices of 50 signals each second, with the
// interruption rule on each. ns/sample is over all samples, of which the rules
// read 3 in 50; ns/evaluation is one exchange's share of a rule. expr's own
// machine evaluates the same condition over the same values beside it, without
// quality, time or state.
func BenchmarkUpdate(b *testing.B) {
	const devices, others = 100, 47
	m := Model{Gateway: "gw"}
	for d := range devices {
		names := append([]string{}, phases...)
		for i := range others {
			names = append(names, fmt.Sprintf("GGIO1.Ind%d", i))
		}
		id := fmt.Sprintf("m%d", d)
		m.Devices = append(m.Devices, Device{ID: id, Asset: "f" + id, PollEvery: time.Second})
		for i, name := range names {
			unit := "1"
			if i < 3 {
				unit = "V"
			}
			m.Signals = append(m.Signals, telemetry.Signal{ID: telemetry.SignalID(len(m.Signals) + 1), Device: id, Asset: "f" + id, Name: name, Unit: unit, Kind: telemetry.Gauge})
		}
	}
	e, problems := Compile([]Rule{{Use: "en50160"}}, m)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	samples := make([]telemetry.Sample, len(m.Signals))
	for i, s := range m.Signals {
		samples[i] = telemetry.Sample{Signal: s.ID, Value: telemetry.FloatValue(230)}
	}

	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		now := at(0).Time()
		for b.Loop() {
			now = now.Add(time.Second)
			for d := range devices {
				exchange := samples[d*50 : d*50+50]
				for i := range exchange {
					exchange[i].Time = telemetry.MicrosOf(now)
				}
				e.Update(now, exchange, func(telemetry.Event) { b.Fatal("an alarm") })
			}
		}
		perRound := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		b.ReportMetric(perRound/float64(len(samples)), "ns/sample")
		b.ReportMetric(perRound/devices, "ns/evaluation")
	})

	b.Run("condition", func(b *testing.B) {
		b.ReportAllocs()
		i := &e.instances[0]
		e.in.at = i.at
		for b.Loop() {
			if i.when(&e.in) != no {
				b.Fatal("an alarm")
			}
		}
	})

	b.Run("expr", func(b *testing.B) {
		b.ReportAllocs()
		type voltages struct {
			PhsA float64 `expr:"phsA"`
			PhsB float64 `expr:"phsB"`
			PhsC float64 `expr:"phsC"`
		}
		type env struct{ PhV voltages }
		in := env{voltages{230, 230, 230}}
		program, err := expr.Compile("PhV.phsA < 230 * 5 / 100 and PhV.phsB < 230 * 5 / 100 and PhV.phsC < 230 * 5 / 100", expr.Env(env{}), expr.AsBool())
		if err != nil {
			b.Fatal(err)
		}
		var machine vm.VM
		for b.Loop() {
			out, err := machine.Run(program, &in)
			if err != nil || out != false {
				b.Fatal(out, err)
			}
		}
	})
}

// BenchmarkTwoThousandRules reads 10,000 signals a second, 100 of each of 100 devices,
// for 2,000 rules: thresholds with a time, rules with windows, and rules that others
// suppress. ms/s is how long a second of that takes: 10 are 1 % of a core.
func BenchmarkTwoThousandRules(b *testing.B) {
	const devices, signals = 100, 100
	m := Model{Gateway: "gw"}
	for d := range devices {
		id := fmt.Sprintf("m%d", d)
		m.Devices = append(m.Devices, Device{ID: id, Asset: "f" + id, PollEvery: time.Second})
		for i := range signals {
			m.Signals = append(m.Signals, telemetry.Signal{ID: telemetry.SignalID(len(m.Signals) + 1), Device: id, Asset: "f" + id, Name: fmt.Sprintf("Tmp%d", i), Unit: "Cel", Kind: telemetry.Gauge})
		}
	}
	var entries []Rule
	each := Target{Device: "*"}
	for i := range 20 {
		r := Rule{Name: fmt.Sprintf("r%d", i), On: each, When: fmt.Sprintf("Tmp%d > 95 or Tmp%d - Tmp%d > 40", i, i+20, i+40), For: lasting(2 * time.Second)}
		switch {
		case i >= 18:
			r.When = fmt.Sprintf(`mean_over(Tmp%d, "1m") > 95 and rate(Tmp%d, "10s") > 1`, i, i)
		case i >= 15:
			r.SuppressedBy = []string{"r0"}
		}
		entries = append(entries, r)
	}
	e, problems := Compile(entries, m)
	if len(problems) > 0 || len(e.instances) != 2000 {
		b.Fatal(problems, len(e.instances))
	}
	samples := make([]telemetry.Sample, len(m.Signals))
	now := at(0).Time()
	second := func() {
		now = now.Add(time.Second)
		for d := range devices {
			exchange := samples[d*signals : d*signals+signals]
			for i := range exchange {
				exchange[i] = telemetry.Sample{Signal: m.Signals[d*signals+i].ID, Time: telemetry.MicrosOf(now), Value: telemetry.FloatValue(60 + float64(now.Second()%7))}
			}
			e.Update(now, exchange, func(telemetry.Event) { b.Fatal("an alarm") })
		}
	}
	for range 100 { // the windows are full then
		second()
	}
	b.ReportAllocs()
	for b.Loop() {
		second()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/s")
}
