package test

import (
	"fmt"
	"testing"
	"time"
)

// A gateway with a thousand devices reads each of them in every slot.
func TestAThousandDevices(t *testing.T) {
	const devices, rounds = 1000, 3
	var addresses []string
	for i := range devices {
		addresses = append(addresses, serve(t, newNoisyMeter(i)))
	}
	dir, status := t.TempDir(), freeAddress(t)
	write(t, dir, "gateway.yaml", benchConfig(freeAddress(t), status, addresses, 10*time.Second, interruptionRule))
	gateway := start(t, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "warn")
	await(t, "the gateway runs", time.Minute, func() bool { return reachable(status) })
	var m map[string]float64
	// count is the least of a device, and that of all.
	count := func(metric, labels string) (least, total float64) {
		least = rounds
		for i := range devices {
			n, known := m[fmt.Sprintf(`busbar_gateway_device_%s{device="meter-%d"%s}`, metric, i, labels)]
			if !known {
				t.Fatalf("no %s of meter-%d", metric, i)
			}
			least, total = min(least, n), total+n
		}
		return least, total
	}
	await(t, "every device has been read three times", 5*time.Minute, func() bool {
		time.Sleep(time.Second) // to list them all costs it more than to read them
		m = metrics(t, status)
		least, _ := count("polls_total", `,result="answered"`)
		return least == rounds
	})
	for metric, labels := range map[string]string{"polls_total": `,result="missed"`, "timeouts_total": "", "late_polls_total": ""} {
		if _, n := count(metric, labels); n > 0 {
			t.Errorf("%v %s%s", n, metric, labels)
		}
	}
	if bad := m[`busbar_gateway_samples_total{validity="bad"}`]; bad > 0 {
		t.Errorf("%v bad values", bad)
	}
	u := usageOf(t, gateway.cmd.Process.Pid)
	t.Logf("%.1f MB of anonymous memory, %v of CPU time for %v values", float64(u.anonymous)/1e6, u.cpu.Round(time.Millisecond), m[`busbar_gateway_samples_total{validity="good"}`])
}
