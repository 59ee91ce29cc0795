package test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/sim/devices"
)

// blinkingMeter is without voltage at every second read, so that each raises or
// clears an alarm.
type blinkingMeter struct {
	mu    sync.Mutex
	reads int
}

func (m *blinkingMeter) Read(_ devices.Table, _, _ int, dst []byte) devices.Exception {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	volts := float32(230)
	if m.reads%2 == 0 {
		volts = 0
	}
	binary.BigEndian.PutUint32(dst, math.Float32bits(volts))
	return 0
}

// A storm of more than ten thousand transitions a minute, with nothing between them
// to gather breath: each is in the store, in its order, and no poll is missed for it.
func TestStormOfAlarms(t *testing.T) {
	t.Parallel()
	const meters, poll, lasts = 100, 500 * time.Millisecond, 20 * time.Second
	s := site{dir: t.TempDir(), console: freeAddress(t), status: freeAddress(t), broker: freeAddress(t)}
	write(t, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", s.console, s.broker))
	var config strings.Builder
	fmt.Fprintf(&config, "gateway: {id: storm}\nforward: {kafka: {brokers: [%q]}}\nbuffer: {path: buffer}\ntime: {source: assumed}\nstatus: {listen: %q}\ndefaults: {poll_every: %s, timeout: 10s}\n"+
		"rules:\n  - {name: dead, on: {device: \"*\"}, when: PhV.phsA < 10}\ndevices:\n", s.broker, s.status, poll)
	all := make([]*blinkingMeter, meters)
	for i := range all {
		all[i] = &blinkingMeter{}
		fmt.Fprintf(&config, "  - {id: m%d, modbus: {endpoint: \"tcp://%s\"}, signals: [{name: PhV.phsA, input: 0, type: float32, unit: V}]}\n", i, serve(t, all[i]))
	}
	write(t, s.dir, "gateway.yaml", config.String())
	enrol(t, s.dir)
	cloud := s.cloud(t)
	gateway := s.gateway(t)
	s.awaitRise(t, `alarms_total{change="raised"}`, 1)
	from, began := s.metric(t, `alarms_total{change="raised"}`), time.Now()
	time.Sleep(lasts)
	rate := 2 * (s.metric(t, `alarms_total{change="raised"}`) - from) / time.Since(began).Minutes()
	missed := 0.0
	for i := range all {
		missed += max(0, s.metric(t, fmt.Sprintf(`device_polls_total{device="m%d",result="missed"}`, i)))
	}
	gateway.stop()
	s.awaitComplete(t)
	cloud.stop()

	raised := map[string]int{}
	ended := map[string]int{}
	st := s.history(t)
	for after := int64(0); ; {
		facts, err := st.Facts(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(facts) == 0 {
			break
		}
		for _, f := range facts {
			after = f.Seq
			if f.Kind != alarm.FactKind {
				continue
			}
			var a alarm.Alarm
			if err := json.Unmarshal(f.Data, &a); err != nil {
				t.Fatal(err)
			}
			if a.Active {
				raised[a.Device]++
			} else {
				ended[a.Device]++
			}
		}
	}
	transitions := 0
	for i, m := range all {
		device := fmt.Sprintf("m%d", i)
		transitions += raised[device] + ended[device]
		// The last answer may have come when nobody waited for it any more.
		if dead := m.reads / 2; raised[device] > dead || raised[device] < dead-1 || raised[device]-ended[device] > 1 || ended[device] > raised[device] {
			t.Errorf("%s was dead at %d of %d reads: %d alarms raised, %d cleared", device, dead, m.reads, raised[device], ended[device])
		}
	}
	t.Logf("%d transitions, %.0f a minute, %.0f polls missed", transitions, rate, missed)
	if rate < 10_000 && missed == 0 {
		t.Errorf("%.0f transitions a minute are no storm", rate)
	}
}
