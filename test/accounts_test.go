package test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// place is where samples count: a device and a quarter-hour.
type place struct {
	device  string
	quarter telemetry.Micros
}

// logged is what gateways have written to the log.
type logged struct {
	samples     map[place]uint64
	first, last map[string]telemetry.Micros // sample of a device
	accounts    map[string]telemetry.Account
}

// readLog reads the log until it has everything that the gateway had committed
// when it was stopped.
func readLog(t *testing.T, broker string) logged {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("busbar.telemetry", "busbar.events", "busbar.births"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	l := logged{map[place]uint64{}, map[string]telemetry.Micros{}, map[string]telemetry.Micros{}, map[string]telemetry.Account{}}
	device := map[telemetry.SignalID]string{}
	blocks := map[record.Identity][]byte{}
	committed, came := map[string]uint64{}, map[string]uint64{}
	stopped := false
	for !stopped || !maps.Equal(came, committed) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the log has %v of what was committed, %v", came, committed)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Topic == "busbar.births" {
				var birth record.Birth
				if err := json.Unmarshal(r.Value, &birth); err != nil {
					t.Fatal(err)
				}
				for _, s := range birth.Signals {
					device[s.ID] = s.Device
				}
				return
			}
			var headers []record.Header
			for _, h := range r.Headers {
				headers = append(headers, record.Header(h))
			}
			rec, err := record.ParseHeaders(headers, r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := blocks[rec.Identity]; twice {
				return
			}
			blocks[rec.Identity] = rec.Payload
			if rec.Stream == record.Telemetry {
				came[rec.Epoch.String()] += rec.Count()
				return
			}
			var e telemetry.Event
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			if e.Lifecycle != nil {
				stopped = e.Kind == telemetry.GatewayStopped
				for _, c := range e.Lifecycle.Committed {
					if c.Stream == string(record.Telemetry) && c.Count > 0 {
						committed[c.Epoch] = c.Count
					}
				}
			}
			if a := e.Account; a != nil {
				key := a.Epoch + a.From.Time().String() + a.To.Time().String()
				if l.accounts[key].Revision < a.Revision {
					l.accounts[key] = *a
				}
			}
		})
	}
	var decoder telemetry.Decoder
	for id, block := range blocks {
		if id.Stream != record.Telemetry {
			continue
		}
		_, samples, err := decoder.Block(block, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range samples {
			d := device[s.Signal]
			l.samples[place{d, telemetry.QuarterOf(s.Time)}]++
			if l.first[d] == 0 {
				l.first[d] = s.Time
			}
			l.first[d], l.last[d] = min(l.first[d], s.Time), max(l.last[d], s.Time)
		}
	}
	return l
}

// A gateway that is killed again and again accounts for every value that was due:
// what it had committed is in the log, and what only the meters know it says
// wasn't acquired.
func TestKilledGatewayAccountsForEveryPoll(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	const points, every = 5, 200_000
	yaml, err := os.ReadFile(filepath.Join(s.dir, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	answers := "type: float32, unit: W}\n      - {name: Answers, holding: 0x1000, type: uint32, unit: \"1\"}\n"
	write(t, s.dir, "gateway.yaml", strings.ReplaceAll(string(yaml), "type: float32, unit: W}\n", answers))
	s.cloud(t)
	sim := s.sim(t)
	const kills = 4
	for i := range kills {
		gateway := s.gateway(t)
		await(t, "the gateway reads", 30*time.Second, func() bool { return reachable(s.status) })
		// At another moment of the commits each time.
		time.Sleep(1500*time.Millisecond + time.Duration(i)*57*time.Millisecond)
		gateway.kill()
	}
	gateway := s.gateway(t)
	await(t, "samples are stored", 60*time.Second, func() bool {
		g, ok := s.state(t)
		return ok && g.Stored > 0 && g.epochs() >= 2*(kills+1)
	})
	s.awaitSent(t, time.Minute)
	gateway.stop()
	l := readLog(t, s.broker)
	sim.stop()
	given := lastAnswers(t, filepath.Join(s.dir, "truth.jsonl"))

	delivered := map[place]uint64{}
	sum := map[string]telemetry.DeviceAccount{}
	for _, a := range l.accounts {
		for _, d := range a.Devices {
			bad := uint64(0)
			for _, n := range d.Bad {
				bad += n
			}
			if d.Scheduled != d.Read+d.Suppressed+bad+d.Missed+d.Down {
				t.Errorf("%+v: the sum is wrong", d)
			}
			if d.Delivered > 0 {
				delivered[place{d.Device, a.From}] += d.Delivered
			}
			all := sum[d.Device]
			all.Scheduled += d.Scheduled
			all.Read += d.Read
			all.Down += d.Down
			sum[d.Device] = all
		}
	}
	if !maps.Equal(delivered, l.samples) {
		t.Errorf("delivered %v, in the log %v", delivered, l.samples)
	}
	own := sum["north-gw1"] // which nobody polls
	delete(sum, "north-gw1")
	if len(sum) != len(s.meters) || own.Scheduled != own.Read {
		t.Errorf("accounts of %v, and of the gateway %v", sum, own)
	}
	for device, d := range sum {
		// One answer may be on its way when the gateway stops.
		unknown := int64(given[device]) - int64(d.Read/points)
		if unknown < 0 || unknown > int64(d.Down/points)+1 || d.Down == 0 {
			t.Errorf("%s gave %d answers; %d were read, %d polls are down", device, given[device], d.Read/points, d.Down/points)
		}
		// Each start moves the grid by less than a period.
		slots := int64(l.last[device]-l.first[device])/every + 1
		if off := int64(d.Scheduled/points) - slots; off < -kills-1 || off > kills+1 {
			t.Errorf("%s: %d polls scheduled in the time of %d", device, d.Scheduled/points, slots)
		}
		t.Logf("%s gave %d answers; polls: %d scheduled, %d read, %d down", device, given[device], d.Scheduled/points, d.Read/points, d.Down/points)
	}
}
