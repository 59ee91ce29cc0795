package opcua

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// tally is a sink that counts, and gives what is found its ids.
type tally struct {
	good, bad atomic.Uint64
	ids       atomic.Uint32
}

func (s *tally) Deliver(ctx context.Context, b adapters.Batch) error {
	for _, v := range b.Samples {
		if v.Quality.Validity() == telemetry.Good {
			s.good.Add(1)
		} else {
			s.bad.Add(1)
		}
	}
	return ctx.Err()
}

func (s *tally) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	return nil, nil, nil
}

func (s *tally) Register(_ context.Context, _ string, found []adapters.Found) ([]telemetry.SignalID, error) {
	ids := make([]telemetry.SignalID, len(found))
	for i := range ids {
		ids[i] = telemetry.SignalID(s.ids.Add(1))
	}
	return ids, nil
}

// BenchmarkManyItems follows 20,000 variables of a server, each of which changes in each
// second.
func BenchmarkManyItems(b *testing.B) {
	p := opcuapeer.Start(b, opcuapeer.Milo, opcuapeer.Settings{Items: 20_000, Period: time.Second})
	many, _ := ParseNode("nsu=" + opcuapeer.Namespace + ";s=Many")
	d := Device{
		ID: "plant", Server: opcuaconn.Config{Endpoint: p.Endpoint(), Security: opcuaconn.Security{Policy: opcuaconn.PolicyNone}}, Keep: b.TempDir(),
		PublishEvery: time.Second, SampleEvery: time.Second, KeepAlive: 5 * time.Second, Queue: 10, Timeout: 10 * time.Second, FollowEvery: time.Hour,
		Follow: []Follow{{Node: many}},
	}
	sink := &tally{}
	a := New([]Device{d}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx, sink)
	}()
	defer func() {
		stop()
		<-ended
	}()
	for limit := time.Now().Add(2 * time.Minute); sink.good.Load() < 20_000; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(limit) {
			b.Fatalf("%d values of %d signals", sink.good.Load(), sink.ids.Load())
		}
	}
	const seconds = 20
	for b.Loop() {
		before, cpu := sink.good.Load(), processCPU(b)
		time.Sleep(seconds * time.Second)
		got := sink.good.Load() - before
		b.ReportMetric(float64(got)/seconds, "values/s")
		b.ReportMetric((processCPU(b)-cpu).Seconds()/float64(got)*1e6, "CPU-s/1M-values")
		b.ReportMetric(anonymous(b)/1e6, "MB-RssAnon")
		b.ReportMetric(float64(sink.bad.Load()), "bad")
	}
}

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// anonymous is the memory of this process that no file backs, in bytes.
func anonymous(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("RssAnon:"))
	kB, err := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kB * 1024
}

// BenchmarkNotification is what becomes of a message with 1,000 values, of which the
// server's numbers are decoded already.
func BenchmarkNotification(b *testing.B) {
	l := &library{}
	now := time.Now()
	v := &ua.DataValue{Value: ua.MustVariant(1.5), SourceTimestamp: now, ServerTimestamp: now}
	s := &sampler{scale: 1, signal: 1}
	batch := make([]telemetry.Sample, 0, 1000)
	b.ReportAllocs()
	for b.Loop() {
		batch = batch[:0]
		for range 1000 {
			sample, err := l.sample(s, v, now)
			if err != nil {
				b.Fatal(err)
			}
			batch = append(batch, sample)
		}
	}
}
