package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// identified starts pymodbus with units that say what they are, as it is called by
// adapters/modbus/testdata/identity.py.
func identified(t *testing.T, dir string, args ...string) {
	t.Helper()
	script, err := filepath.Abs("../adapters/modbus/testdata/identity.py")
	if err != nil {
		t.Fatal(err)
	}
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	need(t, "pymodbus: python3 -m venv .venv && .venv/bin/pip install pymodbus==3.16.1, and BUSBAR_PYTHON=$PWD/.venv/bin/python",
		exec.Command(python, "-c", "import pymodbus.simulator").Run() == nil)
	launch(t, dir, "pymodbus", exec.Command(python, append([]string{script}, args...)...))
}

// head is a configuration up to its devices.
const head = `gateway: {id: gw}
forward: {kafka: {brokers: ["127.0.0.1:9"]}}
buffer: {path: data}
status: {listen: %q}
`

// deviceIDs are those of a proposal.
func deviceIDs(proposal string) (ids []string) {
	for _, m := range regexp.MustCompile(`(?m)^  - id: (.*)$`).FindAllStringSubmatch(proposal, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// readsAsProposed wants a proposal to be valid, and each of its devices to be read.
func readsAsProposed(t *testing.T, dir, proposal string, ids ...string) {
	t.Helper()
	if got := deviceIDs(proposal); strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Fatalf("%q, expected %q\n%s", got, ids, proposal)
	}
	write(t, dir, "gateway.yaml", fmt.Sprintf(head, freeAddress(t))+proposal)
	if out, errs, code := call(t, dir, "busbar", "config", "validate", "gateway.yaml"); code != 0 {
		t.Fatalf("exit code %d\n%s%s\n%s", code, out, errs, proposal)
	}
	for _, id := range ids {
		out, errs, code := call(t, dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", id)
		if code != 0 || !strings.Contains(out, "PhV.phsA   ") && !strings.Contains(out, "PhV.phsA  ") || strings.Contains(out, "wrong device") {
			t.Errorf("%s: exit code %d\n%s%s", id, code, out, errs)
		}
	}
}

func TestUnitsOnALineAreFoundAndReadAsProposed(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("socat")
	need(t, "socat: apt-get install socat", err == nil)
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	launch(t, dir, "socat", exec.Command("socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs))
	await(t, "the terminals", 30*time.Second, func() bool {
		_, err := os.Stat(ours)
		_, err2 := os.Stat(theirs)
		return err == nil && err2 == nil
	})
	identified(t, dir, "rtu", theirs)
	line := "rtu://" + ours + "?baud=9600&parity=N"
	await(t, "the meter answers", time.Minute, func() bool {
		_, _, code := call(t, dir, "busbar", "device", "read", "--endpoint", line, "--unit", "2", "--profile", "eastron/sdm630")
		return code == 0
	})
	scan := func(args ...string) (string, string, int) {
		return call(t, dir, "busbar", append([]string{"device", "scan", "--timeout", "1s", "--units", "1-4"}, args...)...)
	}
	_, errs, code := scan("rtu://"+ours, "--lines", "--output", "found.yaml")
	if code != 0 || !strings.Contains(errs, "unit 1: Example, Sun 20k, 1.2, serial number SN-0815, read by sunspec/103 (100 of 100)") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	proposal, err := os.ReadFile(filepath.Join(dir, "found.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"4 units asked, 3 answered", "Unit 3: Example, Model 7, V1.2.", "No profile comes with Busbar for 160", line} {
		if !strings.Contains(string(proposal), words) {
			t.Errorf("%q isn't in\n%s", words, proposal)
		}
	}
	readsAsProposed(t, dir, string(proposal), "sun-20k-sn-0815", "model-7-unit-2")

	if _, errs, code := scan(line, "--output", "found.yaml"); code != 2 || !strings.Contains(errs, "exists already") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "found.yaml")); err != nil || !bytes.Equal(again, proposal) {
		t.Errorf("the file was overwritten: %s, %v", again, err)
	}
	out, errs, code := scan(line, "--config", "gateway.yaml")
	if code != 0 || len(deviceIDs(out)) != 0 || !strings.Contains(out, "Unit 2 is device model-7-unit-2 already.") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	watch := start(t, dir, "busbar", "device", "watch", "--endpoint", line, "--unit", "2", "--profile", "eastron/sdm630")
	watch.awaitLog("PhV.phsA")
	if out, errs, code := scan(line); code != 1 || out != "" || !strings.Contains(errs, "is in use by another program") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// oneClient passes what comes to an address on to another, of one client at a time,
// as many meters do, and counts those that it had to refuse.
func oneClient(t *testing.T, to string) (address string, refused *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	refused = new(atomic.Int64)
	var taken atomic.Bool
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if !taken.CompareAndSwap(false, true) {
				refused.Add(1)
				client.Close()
				continue
			}
			go func() {
				defer taken.Store(false)
				defer client.Close()
				meter, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer meter.Close()
				go func() {
					io.Copy(client, meter)
					client.Close()
				}()
				io.Copy(meter, client)
			}()
		}
	}()
	return listener.Addr().String(), refused
}

func TestAMeterOfOneClientIsScannedByTheGatewayThatHasIt(t *testing.T) {
	t.Parallel()
	dir, meter, status := t.TempDir(), freeAddress(t), freeAddress(t)
	_, port, _ := net.SplitHostPort(meter)
	identified(t, dir, "tcp", port)
	await(t, "the meter listens", time.Minute, func() bool { return reachable(meter) })
	address, refused := oneClient(t, meter)
	write(t, dir, "gateway.yaml", fmt.Sprintf(head, status)+fmt.Sprintf(`devices:
  - {id: m, modbus: {endpoint: "tcp://%s", unit: 2}, profile: eastron/sdm630, poll_every: 50ms}
`, address))
	gateway := start(t, dir, "busbar-gateway", "run", "--config", "gateway.yaml")
	gateway.awaitLog("device answers")
	scan := []string{"device", "scan", "tcp://" + address, "--units", "1-3", "--timeout", "2s"}
	out, errs, code := call(t, dir, "busbar", append(scan, "--config", "gateway.yaml")...)
	if code != 0 || !strings.Contains(out, "through gateway gw") || !strings.Contains(out, "Unit 2 is device m already.") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if ids := deviceIDs(out); len(ids) != 1 || ids[0] != "sun-20k-sn-0815" || refused.Load() != 0 {
		t.Errorf("%q, and %d clients too many\n%s", ids, refused.Load(), out)
	}
	if page := get(t, "http://"+status+"/metrics"); !regexp.MustCompile(`(?m)device_polls_total\{device="m",result="failed"\} 0$`).MatchString(page) {
		t.Errorf("polls failed beside the scan:\n%s", page)
	}
	// Without knowing of the gateway it would be one client too many.
	if out, errs, code := call(t, dir, "busbar", scan...); code != 1 || refused.Load() == 0 || !strings.Contains(out, "takes one client and has one") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestANetworkIsScannedForDevices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(freeAddress(t))
	meter, inverter := "127.0.0.2:"+port, "127.0.0.3:"+port
	write(t, dir, "sim.yaml", fmt.Sprintf(`devices:
  - {id: meter, feeder: f, listen: %q, product: abb/b23, powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}
  - {id: inverter, feeder: f, listen: %q, sunspec: [1, 103, 203], powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}
`, meter, inverter))
	start(t, dir, "busbar-sim", "run", "sim.yaml")
	await(t, "the devices listen", 20*time.Second, func() bool { return reachable(meter) && reachable(inverter) })
	network := "tcp://127.0.0.0:" + port + "/29"
	out, errs, code := call(t, dir, "busbar", "device", "scan", network, "--timeout", "5s")
	if code != 0 || !strings.Contains(errs, "tcp://"+meter+": unit 1") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	model := "sunspec-model-1-common-sunspec-model-1-common"
	readsAsProposed(t, dir, out, "b23-127-0-0-2-"+port+"-unit-1", model+"-103", model+"-203")

	var found []struct {
		Endpoint string
		Units    []struct {
			Unit       int
			Candidates []struct{ Profile string }
		}
	}
	out, errs, code = call(t, dir, "busbar", "device", "scan", network, "--timeout", "5s", "--json", "--config", "gateway.yaml")
	if err := json.Unmarshal([]byte(out), &found); code != 0 || err != nil || len(found) != 2 || found[0].Endpoint != "tcp://"+meter || found[0].Units[0].Candidates[0].Profile != "abb/b23" {
		t.Errorf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	for args, want := range map[string]string{
		"tcp://127.0.0.0/16":               "more than 4096; --large scans them all the same",
		"tcp://127.0.0.1/24":               "expected the network's own, tcp://127.0.0.0/24",
		network + " --units x":             "expected numbers from 0 to 255",
		network + " --lines":               "expected one without any",
		"tcp://127.0.0.1:1 --timeout 0s":   "expected 1ms to 10s",
		network + " --at-once 0":           "expected 1 to 256",
		"rtu:///dev/null?baud=1 --units 1": "expected 300 to 4000000",
	} {
		if out, errs, code := call(t, dir, "busbar", append([]string{"device", "scan", "--output", "none.yaml"}, strings.Fields(args)...)...); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s%s", args, code, out, errs)
		}
		if _, err := os.Stat(filepath.Join(dir, "none.yaml")); err == nil {
			t.Errorf("%q leaves an empty file", args)
		}
	}
	if out, errs, code := call(t, dir, "busbar", "device", "scan", "tcp://"+meter, "--units", "2"); code != 0 || len(deviceIDs(out)) != 1 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestAScanThatIsInterruptedPrintsWhatItHasFound(t *testing.T) {
	t.Parallel()
	dir, meter := t.TempDir(), freeAddress(t)
	write(t, dir, "sim.yaml", fmt.Sprintf(`devices:
  - {id: meter, feeder: f, listen: %q, product: abb/b23, powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}
`, meter))
	start(t, dir, "busbar-sim", "run", "sim.yaml")
	await(t, "the device listens", 20*time.Second, func() bool { return reachable(meter) })
	scan := exec.Command(filepath.Join(bin, "busbar"), "device", "scan", "tcp://"+meter, "--units", "1-255", "--pause", "100ms", "--timeout", "5s")
	var out bytes.Buffer
	scan.Stdout = &out
	errs, err := scan.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := scan.Start(); err != nil {
		t.Fatal(err)
	}
	defer scan.Process.Kill()
	var said bytes.Buffer
	for part := make([]byte, 4096); !strings.Contains(said.String(), "unit 1: "); {
		n, err := errs.Read(part)
		if said.Write(part[:n]); err != nil {
			t.Fatalf("%v after %s", err, &said)
		}
	}
	scan.Process.Signal(syscall.SIGINT)
	io.Copy(&said, errs)
	scan.Wait()
	if code := scan.ProcessState.ExitCode(); code != 1 || !strings.Contains(said.String(), "interrupted") || !strings.Contains(out.String(), "of 256 units asked, then it was ended") {
		t.Errorf("exit code %d\n%s%s", code, &out, &said)
	}
	readsAsProposed(t, dir, out.String(), "b23-unit-1")
}
