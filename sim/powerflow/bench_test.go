package powerflow_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/network"
	"github.com/busbar/busbar/sim/powerflow"
)

// peak is what customers take in the hour in which all take most.
func peak(s *grid.Snapshot) []complex128 {
	loads := make([]complex128, s.Points())
	for i := range loads {
		loads[i] = complex(network.Demand, 0.3*network.Demand) * complex(float64(s.Point(i).Customers), 0)
	}
	return loads
}

// cpu is the CPU time of this process, which others on the machine don't lengthen.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkSolve(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := network.Generate(network.Parameters{ServicePoints: n, Seed: 1}).At(0)
			v, err := powerflow.New(s, powerflow.Options{})
			if err != nil {
				b.Fatal(err)
			}
			loads := peak(s)
			b.ReportAllocs()
			iterations, before := 0, cpu()
			for b.Loop() {
				if iterations, err = v.Solve(loads); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(iterations), "iterations")
			b.ReportMetric((cpu()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

func BenchmarkOperate(b *testing.B) {
	s := network.Generate(network.Parameters{ServicePoints: 100_000, Seed: 1}).At(0)
	v, err := powerflow.New(s, powerflow.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		if err := v.Operate(s.Normal()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpu()-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
}
