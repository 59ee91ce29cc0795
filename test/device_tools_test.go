package test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A device that nobody has configured is read by what it is, and by nothing else.
func TestDevicesAreTriedByTheirProfiles(t *testing.T) {
	t.Parallel()
	dir, meter, inverter := t.TempDir(), freeAddress(t), freeAddress(t)
	write(t, dir, "sim.yaml", fmt.Sprintf(`devices:
  - {id: meter, feeder: f, listen: %q, product: abb/b23, powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}
  - {id: inverter, feeder: f, listen: %q, sunspec: [1, 103], powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}
`, meter, inverter))
	start(t, dir, "busbar-sim", "run", "sim.yaml")
	await(t, "the devices listen", 20*time.Second, func() bool { return reachable(meter) && reachable(inverter) })
	read := func(args ...string) (string, string, int) {
		return call(t, dir, "busbar", append([]string{"device", "read"}, args...)...)
	}
	out, errs, code := read("--endpoint", "tcp://"+meter, "--profile", "abb/b23")
	if code != 0 || strings.Count(out, "good") != 17 || !strings.Contains(out, "PhV.phsA") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, errs, code = read("--endpoint", "tcp://"+inverter, "--profile", "sunspec/103", "--base", "40069")
	if code != 0 || !strings.Contains(out, "bad (not implemented)") || !strings.Contains(out, "TotW") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, _, code = read("--endpoint", "tcp://"+inverter, "--profile", "sunspec/103", "--base", "40002")
	if code != 1 || strings.Contains(out, "good") || !strings.Contains(out, "bad (wrong device)") {
		t.Errorf("another model is read: exit code %d\n%s", code, out)
	}
	for args, want := range map[string]string{
		"":                          "expected --config and --device, or --endpoint and --profile",
		"--endpoint tcp://" + meter: "--profile is missing",
		"--endpoint tcp://" + meter + " --profile abb/b24":   `there is no profile "abb/b24", did you mean "abb/b23"?`,
		"--endpoint tcp://" + meter + " --profile none.yaml": "no such file",
		"--endpoint udp://h --profile abb/b23":               "expected tcp://host:port",
	} {
		if _, errs, code := read(strings.Fields(args)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s", args, code, errs)
		}
	}

	watch := exec.Command(filepath.Join(bin, "busbar"), "device", "watch", "--endpoint", "tcp://"+meter, "--profile", "abb/b23", "--every", "50ms")
	pipe, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	part := make([]byte, 4096)
	for strings.Count(seen.String(), "PhV.phsA") < 3 {
		n, err := pipe.Read(part)
		if seen.Write(part[:n]); err != nil {
			t.Fatalf("%v after %s", err, &seen)
		}
	}
	watch.Process.Signal(syscall.SIGTERM)
	if err := watch.Wait(); err != nil {
		t.Errorf("stopped, it ends with %v", err)
	}
}

func TestProfilesAreShownAndChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, errs, code := call(t, dir, "busbar", "profile", "list"); code != 0 || !strings.Contains(out, "eastron/sdm630") || !strings.Contains(out, "sunspec/103") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	own, errs, code := call(t, dir, "busbar", "profile", "show", "abb/b23")
	if code != 0 {
		t.Fatal(errs)
	}
	write(t, dir, "good.yaml", own)
	write(t, dir, "bad.yaml", strings.Replace(own, `PhV.phsA: "230.1"`, `PhV.phsA: "23.01"`, 1))
	if out, errs, code := call(t, dir, "busbar", "profile", "test", "good.yaml"); code != 0 || !strings.Contains(out, "17 signals") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, errs, code := call(t, dir, "busbar", "profile", "test", "bad.yaml", "good.yaml")
	if code != 2 || !strings.Contains(errs, "the registers hold 230.1, expected 23.01") || !strings.Contains(out, "good.yaml is valid") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if _, errs, code := call(t, dir, "busbar", "profile", "show", "abb/b32"); code != 2 || !strings.Contains(errs, `did you mean "abb/b23"?`) {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestAPlanSaysWhatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const config = `gateway: {id: gw}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - {id: m1, modbus: {endpoint: "rtu:///dev/ttyUSB0?baud=9600"}, profile: eastron/sdm630, poll_every: 10s}
`
	write(t, dir, "old.yaml", config)
	write(t, dir, "new.yaml", strings.Replace(config, "10s", "200ms", 1))
	out, errs, code := call(t, dir, "busbar", "config", "plan", "--from", "old.yaml", "new.yaml")
	if code != 0 || !strings.Contains(out, "poll_every 10s becomes 200ms") || !strings.Contains(out, "this line is too slow for that") || !strings.Contains(out, "180 values/s") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if out, _, _ := call(t, dir, "busbar", "config", "plan", "--from", "old.yaml", "old.yaml"); !strings.Contains(out, "nothing changes") || strings.Contains(out, "too slow") {
		t.Errorf("%s", out)
	}
}
