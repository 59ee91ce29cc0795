package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/timeline"
	"github.com/busbar/busbar/telemetry"
)

// serialLine is a pair of terminals: the gateway opens the one, and the meter is at the other.
func serialLine(t *testing.T, dir, name string) (ours string, meter *os.File) {
	t.Helper()
	_, err := exec.LookPath("socat")
	need(t, "socat: apt-get install socat", err == nil)
	ours, theirs := filepath.Join(dir, name), filepath.Join(dir, name+"-meter")
	launch(t, dir, "socat-"+name, exec.Command("socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs))
	await(t, "the serial line", 20*time.Second, func() bool {
		_, err := os.Stat(ours)
		meter, _ = os.OpenFile(theirs, os.O_RDWR, 0)
		return err == nil && meter != nil
	})
	t.Cleanup(func() { meter.Close() })
	return ours, meter
}

var winter = time.FixedZone("", 3600)

// p1Telegram is a telegram of now.
func p1Telegram(lines ...string) string {
	text := "/BUS5smart\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(" + time.Now().In(winter).Format("060102150405") + "W)\r\n" + strings.Join(lines, "\r\n") + "\r\n!"
	crc := uint16(0)
	for _, b := range []byte(text) {
		crc ^= uint16(b)
		for range 8 {
			odd := crc&1 != 0
			if crc >>= 1; odd {
				crc ^= 0xA001
			}
		}
	}
	return fmt.Sprintf("%s%04X\r\n", text, crc)
}

// heatMeter answers on a line as one of IEC 62056-21, mode C, behind an optical head that gives
// back what is sent.
func heatMeter(line *os.File) {
	heard := bufio.NewReader(line)
	for {
		text, err := heard.ReadString('\n')
		if err != nil {
			return
		}
		line.WriteString(text) // the echo
		switch {
		case strings.HasPrefix(text, "/?"):
			line.WriteString("/BUs5heat\r\n")
		case strings.HasPrefix(text, "\x06"):
			block := "1.8.0(000123.456*kWh)\r\n32.7.0(229.5*V)\r\nC.1.0(4255530001)\r\n!\r\n\x03"
			bcc := byte(0)
			for _, b := range []byte(block) {
				bcc ^= b
			}
			line.WriteString("\x02" + block + string([]byte{bcc}))
		}
	}
}

// From the telegram at a serial port to what the cloud knows: the registers are signals without
// being written down, and what the meter has noted of its supply is evidence of an outage.
func TestMetersAtSerialPorts(t *testing.T) {
	t.Parallel()
	s := site{dir: t.TempDir(), console: freeAddress(t), status: freeAddress(t), broker: freeAddress(t)}
	port, smart := serialLine(t, s.dir, "p1")
	head, heat := serialLine(t, s.dir, "head")
	go heatMeter(heat)
	write(t, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", s.console, s.broker))
	write(t, s.dir, "gateway.yaml", fmt.Sprintf("gateway: {id: house}\nforward: {kafka: {brokers: [%q]}}\nbuffer: {path: buffer, commit_every: 100ms}\ntime: {source: assumed}\nstatus: {listen: %q}\ndevices:\n"+
		"  - id: smart\n    asset: point-1\n    p1: {endpoint: \"serial://%s\"}\n  - id: heat\n    iec62056: {endpoint: \"serial://%s\", read_every: 10s}\n", s.broker, s.status, port, head))
	write(t, s.dir, "grid.yaml", "sources: [{id: source, node: bar}]\nnodes: [{id: bar, type: busbar}]\nswitches: [{id: breaker, from: bar, to: n1, type: breaker}]\nfeeders: [{id: feeder, head: breaker}]\nservice_points: [{id: point-1, node: n1, customers: 1}]\n")
	from := time.Now().Add(-30 * time.Minute).Truncate(time.Second)
	to := from.Add(20 * time.Minute)
	var sags atomic.Int32
	sags.Store(3)
	telegram := func() {
		smart.WriteString(p1Telegram("1-0:1.7.0(01.500*kW)", "1-0:2.7.0(00.250*kW)", "1-0:1.8.1(000012.345*kWh)", "1-0:1.8.2(000020.000*kWh)", "0-0:96.7.9(00001)", fmt.Sprintf("1-0:32.32.0(%05d)", sags.Load()),
			fmt.Sprintf("1-0:99.97.0(1)(0-0:96.7.19)(%sW)(0000001200*s)", to.In(winter).Format("060102150405"))))
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
				telegram()
			}
		}
	}()

	// On its own, and through the gateway that runs.
	read := func(device string, want ...string) {
		t.Helper()
		out, errs, code := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", device)
		shown := strings.Join(strings.Fields(out), " ")
		for _, w := range want {
			if code != 0 || !strings.Contains(shown, w+" good") {
				t.Errorf("exit code %d, expected %s\n%s%s", code, w, out, errs)
			}
		}
	}
	values := map[string][]string{
		"smart": {"TotW 1250 W", "DmdWh 32345 W.h", "DmdWh.tariff1 12345 W.h", "Intr.long 1 1", "Sag.phsA 3 1"},
		"heat":  {"DmdWh 123456 W.h", "PhV.phsA 229.5 V", "MtrId 4255530001 1"},
	}
	for device, want := range values {
		read(device, want...)
	}
	enrol(t, s.dir)
	if out, errs, code := call(t, s.dir, "busbar-cloud", "grid", "import", "--config", "cloud.yaml", "grid.yaml"); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	cloud := s.cloud(t)
	gateway := s.gateway(t)
	for _, device := range []string{"smart", "heat"} {
		await(t, device+" answers", time.Minute, func() bool {
			return s.metric(t, fmt.Sprintf(`device_polls_total{device=%q,result="answered"}`, device)) >= 1
		})
		read(device, values[device]...)
	}
	sags.Store(5)
	await(t, "sags while the gateway runs", time.Minute, func() bool {
		out, _, _ := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "smart")
		return strings.Contains(strings.Join(strings.Fields(out), " "), "Sag.phsA 5 1 good")
	})
	noted := func(st *store.Store) (found []evidence.Observation) {
		if err := st.Write(t.Context(), func(tx *store.Tx) error {
			keep := func(_, _ int64, v evidence.Observation) {
				if v.Kind == outage.Interrupted {
					found = append(found, v)
				}
			}
			if err := evidence.Waiting(tx, 1000, keep); err != nil {
				return err
			}
			return evidence.Taken(tx, evidence.Place{}, 1000, keep)
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	gateway.stop()
	s.awaitComplete(t)
	cloud.stop()
	history := s.history(t)
	found := noted(history)
	if len(found) != 1 || found[0].Asset != "point-1" || found[0].Device != "smart" || found[0].Gateway != "house" || found[0].Since != from.UnixMicro() || found[0].Source != to.UnixMicro() {
		t.Errorf("%+v, expected one from %v to %v", found, from, to)
	}
	entries, err := timeline.Of(t.Context(), history, "point-1", []timeline.Kind{timeline.Quality}, store.Page[timeline.Place]{Limit: 10})
	if err != nil || len(entries) != 1 || entries[0].Action != "voltage-sag" || entries[0].Text != "phase A: 2, by smart" || entries[0].Since < telemetry.MicrosOf(from) || entries[0].Since >= entries[0].At {
		t.Errorf("%+v, %v", entries, err)
	}
}
