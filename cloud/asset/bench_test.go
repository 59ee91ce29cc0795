package asset

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridtest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// BenchmarkHealth100k is to look how a line does of which eight signals are measured every 10 s,
// with a week of them, in a network of 100,000 service points with 100 outages.
func BenchmarkHealth100k(b *testing.B) {
	for name, config := range map[string]func(testing.TB) store.Config{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(b.Context(), config(b))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			m := gridtest.Radial(100_000, 1)
			for i := range m.Switches {
				if i%20 == 0 {
					m.Switches[i].Signal = "Pos"
				}
			}
			line := &m.Lines[1000]
			line.RatedCurrent, line.Voltage = 100, 20_000
			if _, err := (network.Import{Model: *m, By: "test", Now: time.Now()}).Save(b.Context(), s); err != nil {
				b.Fatal(err)
			}
			n, err := network.NewHolder(s).Current(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			now := telemetry.MicrosOf(time.Now())
			birth := record.Birth{Gateway: "gw", Table: "000000000000000a", Version: 1, Parts: 1}
			for i, signal := range []string{"A.phsA A", "A.phsB A", "A.phsC A", "PPV.phsAB V", "PPV.phsBC V", "PPV.phsCA V", "TotW W", "TotVAr var"} {
				var v telemetry.Signal
				fmt.Sscan(signal, &v.Name, &v.Unit)
				v.ID, v.Device, v.Asset, v.Kind = telemetry.SignalID(i+1), "meter", line.ID, telemetry.Gauge
				birth.Signals = append(birth.Signals, v)
			}
			write := func(do func(*store.Tx) error) {
				b.Helper()
				if err := s.Write(b.Context(), do); err != nil {
					b.Fatal(err)
				}
			}
			write(func(tx *store.Tx) error { return tx.SaveBirth(birth) })
			places, err := s.SignalTable(b.Context(), "gw", 0xa)
			if err != nil {
				b.Fatal(err)
			}
			write(func(tx *store.Tx) error {
				for i := range 100 {
					if _, err := tx.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, plan, found, over, told, data) VALUES (?, 'confirmed', '', '', ?, '', '', 1, 0, 1, '{}')`, fmt.Sprint(i), m.Lines[i*300].ID); err != nil {
						return err
					}
				}
				return nil
			})
			var enc telemetry.Encoder
			write(func(tx *store.Tx) error {
				for at := (now - week) / 60e6 * 60e6; at < now; at += 60e6 {
					var samples []telemetry.Sample
					for _, p := range birth.Signals {
						for i := range telemetry.Micros(6) {
							samples = append(samples, telemetry.Sample{Signal: places[p.ID].Series, Time: at + i*10_000_000, Value: telemetry.FloatValue(math.Round(2000+100*math.Sin(float64(at)/1e10)) / 10)})
						}
					}
					block, err := enc.AppendBlock(nil, telemetry.TableRef{}, samples)
					if err == nil {
						err = tx.AddChunk(store.Chunk{Bundle: places[1].Bundle, Minute: store.MinuteOf(at), First: at, Last: at + 50_000_000, Samples: len(samples), Block: block})
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err := compact.New(compact.Config{Store: s, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}).Pass(b.Context(), time.Now()); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if out, err := HealthOf(b.Context(), s, n, line.ID, now); err != nil || out.Loading.Unknown != "" || out.Voltage.Of != 3024 {
					b.Fatalf("%+v, %v", out, err)
				}
			}
		})
	}
}
