package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAWrongCommandLineExitsWithTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "used"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "used"), "cloud.db", "")
	for line, want := range map[string]string{
		"busbar demo --for 5s":                                    "--for 5s",
		"busbar demo --for=-5s":                                   "--for -5s",
		"busbar demo --console nonsense":                          "expected host:port",
		"busbar demo --console 0.0.0.0:8080":                      "no sign-in",
		"busbar demo --console :8080":                             "no sign-in",
		"busbar demo --console localhost:0":                       "1 to 65535",
		"busbar demo --console 127.0.0.1:70000":                   "1 to 65535",
		"busbar demo --dir used --console " + freeAddress(t):      "is not empty",
		"busbar --log-level debug config schema":                  "--log-level",
		"busbar config validate none.yaml":                        "none.yaml",
		"busbar device read --config none.yaml --device feeder-1": "none.yaml",
		"busbar-gateway run --config none.yaml":                   "none.yaml",
		"busbar-cloud run --config none.yaml":                     "none.yaml",
		"busbar-cloud command key --config none.yaml":             "none.yaml",
		"busbar-cloud gateway ping --config none.yaml gw":         "none.yaml",
		"busbar-cloud gateway ping --config none.yaml GW":         "lower-case",
		"busbar-cloud gateway ping --timeout 3m gw":               "--timeout 3m",
		"busbar-cloud gateway reset gw":                           "alarm",
		"busbar-cloud run --config used":                          "used",
		"busbar-sim run none.yaml":                                "none.yaml",
	} {
		args := strings.Fields(line)
		if out, errs, code := call(t, dir, args[0], args[1:]...); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, errs)
		}
	}
}

func TestDeviceReadCanBeInterrupted(t *testing.T) {
	t.Parallel()
	meter, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer meter.Close()
	dir := t.TempDir()
	config := fmt.Sprintf(gatewayYAML, "127.0.0.1:9", "127.0.0.1:9", meter.Addr(), "127.0.0.1:9")
	write(t, dir, "gateway.yaml", strings.Replace(config, "timeout: 500ms", "timeout: 1m", 1))
	cmd := exec.Command(filepath.Join(bin, "busbar"), "device", "read", "--config", "gateway.yaml", "--device", "feeder-1-head")
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	meter.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := meter.Accept() // and never answer
	if err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	defer conn.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || out.String() != "busbar: interrupted\n" {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}

func TestDeviceReadLogsAtTheLevelAskedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t, "127.0.0.1:9", "")
	config, err := os.ReadFile(filepath.Join(s.dir, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// One more signal, where the meter has nothing.
	write(t, s.dir, "gateway.yaml", strings.Replace(string(config), "rules:", "      - {name: Hz, input: 60000, type: float32, unit: Hz}\nrules:", 1))
	s.sim(t)
	await(t, "the meter listens", 10*time.Second, func() bool { return reachable(s.meters[1]) })
	for options, want := range map[string]string{
		"":                  "level=WARN msg=\"request fails\"",
		"--log-level error": "",
		"--log-format json": `"level":"WARN","msg":"request fails"`,
	} {
		args := append(strings.Fields("device read --config gateway.yaml --device feeder-2-head"), strings.Fields(options)...)
		out, errs, code := call(t, s.dir, "busbar", args...)
		if code != 0 || !strings.Contains(out, "Hz") || !strings.Contains(errs, want) || want == "" && errs != "" {
			t.Errorf("%s: exit code %d\n%s%s", options, code, out, errs)
		}
	}
	if help, _, _ := call(t, s.dir, "busbar", "device", "read", "--help"); !strings.Contains(help, "--log-level=warn") {
		t.Errorf("the default isn't warn:\n%s", help)
	}
}
