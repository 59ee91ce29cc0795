package network_test

import (
	"bytes"
	"fmt"
	"math"
	"math/cmplx"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/sim/network"
	"github.com/busbar/busbar/sim/powerflow"
)

func yaml(t testing.TB, p network.Parameters) []byte {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := gridfile.WriteYAML(&out, network.Generate(p)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Networks of every size have what they should, and nothing is wrong with them.
func TestNothingIsWrong(t *testing.T) {
	for _, n := range []int{1, 2, 3, 17, 100, 999, 20_000} {
		for seed := range uint64(min(3, 20_000/n)) {
			for _, p := range []network.Parameters{{}, {Overhead: 1, Telemetry: 1, SinglePhase: 1, PerSubstation: 3}, {Overhead: -1, Telemetry: -1, SinglePhase: -1, PerFeeder: 200}} {
				p.ServicePoints, p.Seed = n, seed
				m := network.Generate(p)
				for i, f := range m.Check(0) {
					if i < 5 {
						t.Errorf("%+v: %s", p, f)
					}
				}
				sum := m.At(0).Summary()
				if sum.ServicePoints != n || sum.UnfedIslands != 0 || sum.Loops != 0 || n > 1 && sum.NormallyOpen < sum.Feeders-1 || len(m.Zones) < 2 {
					t.Errorf("%+v: %+v", p, sum)
				}
				if p.PerFeeder > 0 && n > 1 && sum.Feeders != max(2, (n+199)/200) {
					t.Errorf("%+v: %d feeders", p, sum.Feeders)
				}
			}
		}
	}
}

func TestTortureAMillion(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("takes 20 s and 1.5 GB: run by make torture")
	}
	m := network.Generate(network.Parameters{ServicePoints: network.Most})
	if findings := m.Check(0); len(findings) > 0 || len(m.ServicePoints) != network.Most {
		t.Errorf("%d service points, %d findings", len(m.ServicePoints), len(findings))
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	p := network.Parameters{ServicePoints: 600, Seed: 7}
	if !bytes.Equal(yaml(t, p), yaml(t, p)) {
		t.Error("it is another network")
	}
	other := p
	other.Seed = 8
	if bytes.Equal(yaml(t, p), yaml(t, other)) {
		t.Error("another seed gives the same network")
	}
	m, findings := gridfile.ReadYAML("grid.yaml", yaml(t, p))
	if findings = append(findings, m.Check(0)...); len(findings) > 0 {
		t.Error(findings[0])
	}
}

// Parts are about what was asked for.
func TestShares(t *testing.T) {
	m := network.Generate(network.Parameters{ServicePoints: 40_000, PerFeeder: 200, Overhead: 0.3, Telemetry: 0.25, SinglePhase: 0.6})
	part := func(what string, want float64, n int, is, counts func(i int) bool) {
		t.Helper()
		yes, all := 0, 0
		for i := range n {
			if counts(i) {
				all++
				if is(i) {
					yes++
				}
			}
		}
		if got := float64(yes) / float64(all); math.Abs(got-want) > 0.1 {
			t.Errorf("%s: %.3f of %d, expected about %.2f", what, got, all, want)
		}
	}
	part("overhead heads", 0.3, len(m.Lines), func(i int) bool { return m.Lines[i].Type == grid.Overhead },
		func(i int) bool { return strings.HasSuffix(m.Lines[i].From, "-0") && m.Lines[i].Voltage == 20e3 })
	part("telemetered load switches", 0.25, len(m.Switches), func(i int) bool { return m.Switches[i].Telemetered() },
		func(i int) bool { return m.Switches[i].Type == grid.LoadSwitch })
	part("single phases", 0.6, len(m.ServicePoints), func(i int) bool { return m.ServicePoints[i].Phases != grid.ABC },
		func(i int) bool { return true })
	part("breakers and reclosers", 1, len(m.Switches), func(i int) bool { return m.Switches[i].Telemetered() },
		func(i int) bool { return m.Switches[i].Type == grid.Breaker || m.Switches[i].Type == grid.Recloser })
	for _, sw := range m.Switches {
		if sw.Type == grid.Fuse && sw.Telemetered() {
			t.Fatalf("the fuse %s is telemetered", sw.ID)
		}
	}
}

// With each tie, what is behind a feeder's head can be supplied from the next
// one.
func TestTiesSupply(t *testing.T) {
	m := network.Generate(network.Parameters{ServicePoints: 5000, PerFeeder: 250, Seed: 3})
	s := m.At(0)
	for i := range s.Feeders() {
		p := s.NormalPositions()
		p[s.EdgeOf(s.Feeder(i).Head)] = grid.ABC
		tie := i // joins feeder i and i+1, from 1
		if i == 0 {
			tie = 1
		}
		p[s.EdgeOf(fmt.Sprintf("tie-%d", tie))] = 0
		o := s.Operate(p, nil)
		if len(o.Loops()) > 0 {
			t.Fatalf("closing tie-%d for feeder %s makes a loop", tie, s.Feeder(i).ID)
		}
		for n := range s.Points() {
			if o.Supplied(n) == 0 {
				t.Fatalf("service point %s has no supply with %s open and tie-%d closed", s.PointAsset(n).ID, s.Feeder(i).Head, tie)
			}
		}
	}
}

// When all customers take most, voltages and currents are what equipment is made
// for: voltages within a tenth, and no line or transformer above its rating.
func TestEquipmentIsEnough(t *testing.T) {
	for seed := range uint64(3) {
		m := network.Generate(network.Parameters{ServicePoints: 10_000, Seed: seed})
		s := m.At(0)
		v, err := powerflow.New(s, powerflow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		loads := make([]complex128, s.Points())
		for i := range loads {
			loads[i] = complex(network.Demand, 0.3*network.Demand) * complex(float64(s.Point(i).Customers), 0)
		}
		if _, err := v.Solve(loads); err != nil {
			t.Fatal(err)
		}
		low, high := 2.0, 0.0
		for i := range s.Points() {
			p := s.Point(i)
			for k, u := range v.Voltage(p.Node) {
				if p.Phases&(1<<k) != 0 {
					low, high = min(low, cmplx.Abs(u)), max(high, cmplx.Abs(u))
				}
			}
		}
		most := 0.0 // of a rating
		for e := range s.Edges() {
			rated := 0.0
			switch edge := s.Edge(e); edge.Kind {
			case grid.KindLine:
				rated = float64(m.Lines[edge.Index].RatedCurrent)
			case grid.KindTransformer:
				rated = float64(m.Transformers[edge.Index].RatedPower) / math.Sqrt(3) / float64(m.Transformers[edge.Index].HighVoltage)
			}
			for _, i := range v.Current(e) {
				if rated > 0 {
					most = max(most, cmplx.Abs(i)/rated)
				}
			}
		}
		total := v.Total()
		t.Logf("seed %d: %.3f to %.3f pu, up to %.2f of a rating, %.1f MW and losses of %.1f %%", seed, low, high, most,
			real(total.Loads)/1e6, 100*real(total.Losses)/real(total.Sources))
		if low < 0.9 || high > 1.1 || most > 1 {
			t.Errorf("seed %d: voltages from %.3f to %.3f, and up to %.2f of a rating", seed, low, high, most)
		}
	}
}

func TestParametersAreChecked(t *testing.T) {
	for _, p := range []network.Parameters{{ServicePoints: -1}, {ServicePoints: network.Most + 1}, {PerFeeder: -1}, {PerSubstation: -1}, {Overhead: 1.1},
		{Telemetry: math.NaN()}, {SinglePhase: 2}, {Longitude: 181}, {Latitude: -81}, {Latitude: math.NaN()}} {
		if p.Check() == nil {
			t.Errorf("nothing is wrong with %+v", p)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cpu := func() time.Duration {
				var u syscall.Rusage
				syscall.Getrusage(syscall.RUSAGE_SELF, &u)
				return time.Duration(u.Utime.Nano() + u.Stime.Nano())
			}
			var m *grid.Model
			before := cpu()
			for b.Loop() {
				m = network.Generate(network.Parameters{ServicePoints: n})
			}
			b.ReportMetric((cpu()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
			runtime.GC()
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			b.ReportMetric(float64(mem.HeapAlloc)/1e6, "MB-kept")
			runtime.KeepAlive(m)
		})
	}
}
