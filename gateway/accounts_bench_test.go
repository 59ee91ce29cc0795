package gateway

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// written is how many bytes this process has handed to the kernel.
func written(b *testing.B) (n uint64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "wchar: %d", &n)
	}
	return n
}

// BenchmarkWear commits groups of samples with the state of the accounts and
// without it. Two quarter-hours are open, which is the state at its largest.
func BenchmarkWear(b *testing.B) {
	for _, load := range []struct{ devices, points, seconds int }{{100, 50, 1}, {100, 50, 2}, {1, 10, 1}, {10, 1, 1}} {
		for _, with := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dx%d/every=%ds/accounts=%v", load.devices, load.points, load.seconds, with), func(b *testing.B) {
				var devices []account.Device
				for d := range load.devices {
					device := account.Device{ID: fmt.Sprintf("feeder-%02d-head", d), Every: time.Second}
					for p := range load.points {
						device.Signals = append(device.Signals, telemetry.SignalID(d*load.points+p+1))
					}
					devices = append(devices, device)
				}
				opened, err := buffer.Open(buffer.Options{Dir: b.TempDir(), Gateway: "gw", Log: quiet})
				if err != nil {
					b.Fatal(err)
				}
				defer opened.Close()
				ledger := account.New(account.Options{Epoch: opened.Epoch(), Devices: devices})
				now := telemetry.Micros(1_790_000_000_000_000) / telemetry.Quarter * telemetry.Quarter
				ledger.Tick(now - 1)
				noise := rand.New(rand.NewPCG(1, 2))
				var encoder telemetry.Encoder
				total := 0
				before := written(b)
				for b.Loop() {
					var samples []telemetry.Sample
					var slots []account.Slot
					for range load.seconds {
						now += 1_000_000
						if now%telemetry.Quarter == 0 {
							now -= telemetry.Quarter
						}
						for d := range devices {
							at := now + telemetry.Micros(d*100)
							for _, s := range devices[d].Signals {
								samples = append(samples, telemetry.Sample{Time: at, Signal: s, Value: telemetry.FloatValue(math.Round(2300+2*noise.NormFloat64()) / 10)})
							}
							slots = append(slots, account.Slot{Device: d, Due: at - 500})
						}
					}
					block, err := encoder.AppendBlock(nil, telemetry.TableRef{}, samples)
					if err != nil {
						b.Fatal(err)
					}
					var state []byte
					if with {
						ledger.Count(now, samples, slots)
						state = ledger.AppendState(nil, now, 0)
					}
					item := buffer.Item{Format: record.FormatBlock, Payload: block, Count: uint64(len(samples))}
					if err := opened.Telemetry.Commit([]buffer.Item{item}, state); err != nil {
						b.Fatal(err)
					}
					total += len(samples)
				}
				b.ReportMetric(float64(written(b)-before)/float64(total), "B-written/sample")
				b.ReportMetric(float64(written(b)-before)/float64(b.N), "B-written/commit")
			})
		}
	}
}
