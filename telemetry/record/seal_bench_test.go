package record

import (
	"crypto/ed25519"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// What a signature costs beside the block that it is of: 10,000 samples, as 50
// voltages of 10 meters give them in 20 s, with noise of 0.2 V in steps of 0.1 V.
func BenchmarkBlock(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var samples []telemetry.Sample
	for second := range 20 {
		for i := range 500 {
			v := math.Round((230+0.2*random.NormFloat64())*10) / 10
			samples = append(samples, telemetry.Sample{Signal: telemetry.SignalID(i), Value: telemetry.FloatValue(v),
				Time: 1_700_000_000_000_000 + telemetry.Micros(second)*1_000_000 + telemetry.Micros(i/50)*1_000})
		}
	}
	var encoder telemetry.Encoder
	block, err := encoder.AppendBlock(nil, telemetry.TableRef{Table: 1, Version: 1}, samples)
	if err != nil {
		b.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	r := Record{Identity: Identity{Gateway: "north-gw1", Epoch: 1, Stream: Telemetry, Last: 9_999}, Format: FormatBlock, Payload: block}
	r.Sign(key)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if block, err = encoder.AppendBlock(block[:0], telemetry.TableRef{Table: 1, Version: 1}, samples); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			r.Sign(key)
		}
		b.ReportMetric(float64(len(block)), "payload-B")
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if !r.Verify(public(key)) {
				b.Fatal("not accepted")
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		var decoder telemetry.Decoder
		for b.Loop() {
			if _, samples, err = decoder.Block(block, samples); err != nil {
				b.Fatal(err)
			}
		}
	})
}
