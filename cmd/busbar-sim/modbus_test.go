package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/test/peer"
)

// play runs busbar-sim modbus until the test ends, and returns the part of a
// configuration that it prints, and the endpoint in it.
func play(t *testing.T, args ...string) (snippet, endpoint string) {
	t.Helper()
	return playAs(t, "modbus", args...)
}

// playAs is the same of another kind of device.
func playAs(t *testing.T, kind string, args ...string) (snippet, endpoint string) {
	t.Helper()
	command := exec.Command(binary, append([]string{kind}, args...)...)
	var errs strings.Builder
	command.Stderr = &errs
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("%v: %v: %s", args, err, errs.String())
		}
	})
	lines := bufio.NewScanner(pipe)
	for lines.Scan() && lines.Text() != "devices:" {
	}
	snippet = "devices:\n"
	for lines.Scan() && lines.Text() != "" {
		snippet += lines.Text() + "\n"
	}
	match := regexp.MustCompile(`endpoint: "([^"]+)"`).FindStringSubmatch(snippet)
	if match == nil {
		t.Fatalf("no endpoint in %q: %s", snippet, errs.String())
	}
	return snippet, match[1]
}

// where is the port or the path of an endpoint.
func where(endpoint string) string {
	rest := endpoint[strings.Index(endpoint, "://")+3:]
	rest, _, _ = strings.Cut(rest, "?")
	if !strings.HasPrefix(rest, "/") {
		rest = rest[strings.LastIndex(rest, ":")+1:]
	}
	return rest
}

// What is printed is a configuration by which a gateway reads everything there is.
func TestGatewayReadsByWhatIsPrinted(t *testing.T) {
	link := filepath.Join(t.TempDir(), "meters")
	for _, args := range [][]string{
		{"eastron/sdm630", "--listen", "127.0.0.1:0", "--unit", "1"},
		{"carlo-gavazzi/em24", "--listen-rtu", "127.0.0.1:0", "--units", "3,7-8"},
		{"janitza/b23", "--pty", "--baud", "38400", "--parity", "E", "--units", "1-2", "--link", link},
		{"sunspec/103", "sunspec/203", "--listen", "127.0.0.1:0"},
		{"testdata/wide.yaml", "--listen", "127.0.0.1:0", "--misbehave", "1:late=20ms,every=2; duplicate"},
	} {
		snippet, _ := play(t, args...)
		config, err := gatewayconfig.Parse("gateway.yaml", []byte("gateway: {id: gw}\nforward: {kafka: {brokers: [\"localhost:9092\"]}}\nbuffer: {path: data}\n"+snippet))
		if err != nil {
			t.Errorf("%v: %v\n%s", args, err, snippet)
			continue
		}
		for _, d := range config.Devices {
			readings, err := gateway.ReadDevice(t.Context(), config, "", d.ID, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Errorf("%v: %v", args, err)
			}
			good := 0
			for _, r := range readings {
				if r.Good {
					good++
				} else if r.Quality != "bad (not implemented)" {
					t.Errorf("%v: %s: %s of %s", args, d.ID, r.Quality, r.Signal)
				}
			}
			if good == 0 {
				t.Errorf("%v: nothing is good of %s", args, d.ID)
			}
		}
	}
	if _, err := os.Readlink(link); err != nil {
		t.Errorf("while it runs: %v", err)
	}
}

// cable is two serial ports that socat connects.
func cable(t *testing.T) (one, other string) {
	t.Helper()
	dir := t.TempDir()
	one, other = filepath.Join(dir, "one"), filepath.Join(dir, "other")
	command := exec.Command(peer.Program(t, "socat", "socat"), "pty,raw,echo=0,link="+one, "pty,raw,echo=0,link="+other)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	for deadline := time.Now().Add(20 * time.Second); !there(one) || !there(other); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("socat makes no terminals")
		}
	}
	return one, other
}

func TestAgainstMbpoll(t *testing.T) {
	mbpoll := peer.Program(t, "mbpoll", "mbpoll")
	port, otherEnd := cable(t)
	for _, args := range [][]string{
		{"--listen", "127.0.0.1:0"},
		{"--pty", "--baud", "19200"},
		{"--serial", port, "--baud", "19200"},
	} {
		_, endpoint := play(t, append([]string{"janitza/b23", "--units", "1,5", "--dead", "5", "--energy", "1234.5 kW.h"}, args...)...)
		poll := func(args ...string) (string, int) {
			how := []string{"-m", "tcp", "-p", where(endpoint), "-1", "-q", "-0"}
			target := "127.0.0.1"
			if strings.HasPrefix(endpoint, "rtu:") {
				how = []string{"-m", "rtu", "-b", "19200", "-P", "none", "-1", "-q", "-0"}
				target = where(endpoint)
			}
			if target == port {
				target = otherEnd
			}
			// Options go before the host, values to write behind it.
			at := slices.Index(args, "write")
			if at < 0 {
				at = len(args)
			}
			all := append(slices.Concat(how, args[:at]), target)
			if at < len(args) {
				all = append(all, args[at+1:]...)
			}
			out, err := exec.Command(mbpoll, all...).CombinedOutput()
			return string(out), exitCode(err)
		}
		const voltage, energy = "19000", "19068"
		if out, code := poll("-a", "1", "-t", "4:float", "-B", "-r", voltage, "-c", "3"); code != 0 || len(regexp.MustCompile(`\]: +\s*2(29|30)\.?\d*\n`).FindAllString(out, -1)) != 3 {
			t.Errorf("%v: exit code %d: no three voltages in %s", args, code, out)
		}
		if out, code := poll("-a", "1", "-t", "4:float", "-B", "-r", energy); code != 0 || !strings.Contains(out, "1.2345e+06") {
			t.Errorf("%v: exit code %d: the energy isn't 1,234,500 W.h: %s", args, code, out)
		}
		if out, code := poll("-a", "1", "-t", "4", "-r", voltage, "write", "17000", "17001"); code != 0 || !strings.Contains(out, "Written 2 references") {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
		if out, _ := poll("-a", "1", "-t", "4", "-r", voltage, "-c", "2"); !strings.Contains(out, "17000") || !strings.Contains(out, "17001") {
			t.Errorf("%v: what was written isn't read: %s", args, out)
		}
		if out, _ := poll("-a", "1", "-t", "4", "-r", "100"); !strings.Contains(out, "Illegal data address") {
			t.Errorf("%v: a register that it hasn't got: %s", args, out)
		}
		if out, code := poll("-a", "5", "-o", "0.3", "-t", "4", "-r", voltage); code == 0 || !strings.Contains(out, "timed out") {
			t.Errorf("%v: exit code %d: a dead unit: %s", args, code, out)
		}
	}
}

func TestPymodbusOperates(t *testing.T) {
	python := os.Getenv("BUSBAR_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import pymodbus.client, serial").CombinedOutput(); err != nil {
		peer.Missing(t, "no Python with pymodbus and pyserial: make peers, and BUSBAR_PYTHON=$PWD/.venv/bin/python\n%s", out)
	}
	for transport, args := range map[string][]string{
		"tcp":     {"--listen", "127.0.0.1:0"},
		"rtu+tcp": {"--listen-rtu", "127.0.0.1:0", "--no-pace"},
		"rtu":     {"--pty"},
	} {
		_, endpoint := play(t, append([]string{"testdata/wide.yaml", "--units", "1-3", "--read-only", "170-179"}, args...)...)
		out, err := exec.Command(python, "testdata/operate.py", transport, where(endpoint)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", transport, err, out)
			continue
		}
		var got struct {
			Coils           []bool
			Registers, Many []int
			Identity        map[string]string
			ReadOnly        int `json:"read_only"`
			Beyond          int
			NoSuchObject    int `json:"no_such_object"`
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var coils []bool
		for i := range 20 {
			coils = append(coils, slices.Contains([]int{3, 10, 12, 13, 15, 18}, i))
		}
		var many []int
		for i := range 60 {
			many = append(many, i+1)
		}
		identity := map[string]string{"0": "Busbar", "1": "Wide", "2": "1.0", "4": "Busbar Wide", "5": "Wide"}
		if !slices.Equal(got.Coils, coils) || !slices.Equal(got.Registers, []int{0, 1234, 0, 0x17}) || !slices.Equal(got.Many, many) || !maps.Equal(got.Identity, identity) {
			t.Errorf("%s: %s", transport, out)
		}
		if got.ReadOnly != 2 || got.Beyond != 2 || got.NoSuchObject != 2 {
			t.Errorf("%s: exceptions: %s", transport, out)
		}
	}
}

// What units do wrong is changed while they answer.
func TestControl(t *testing.T) {
	const control = "127.0.0.1:15921"
	_, endpoint := play(t, "eastron/sdm630", "--listen", "127.0.0.1:0", "--units", "1-2", "--misbehave", "2:exception=3", "--control", control)
	ask := func(method, path, body string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+control+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	read := func(unit uint8) string {
		config, err := gatewayconfig.ForDevice(endpoint, unit, "eastron/sdm630", 0)
		if err != nil {
			t.Fatal(err)
		}
		readings, err := gateway.ReadDevice(t.Context(), config, "", config.Devices[0].ID, slog.New(slog.DiscardHandler))
		if err != nil {
			return err.Error()
		}
		return readings[0].Quality
	}
	expect := func(unit uint8, want string) {
		t.Helper()
		if got := read(unit); !strings.Contains(got, want) {
			t.Errorf("unit %d: %s, want %s", unit, got, want)
		}
	}
	expect(1, "good")
	expect(2, "refused")
	if code, text := ask("PUT", "/misbehave/1", "exception=4,every=1; late=1ms"); code != 204 {
		t.Errorf("%d %s", code, text)
	}
	expect(1, "refused")
	if code, text := ask("GET", "/", ""); code != 200 || !strings.Contains(text, `"how": "exception=4,every=1"`) || !strings.Contains(text, `"how": "exception=3"`) || strings.Contains(text, `"shown": 0`) || !strings.Contains(text, endpoint) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := ask("DELETE", "/misbehave", ""); code != 204 {
		t.Errorf("%d %s", code, text)
	}
	expect(1, "good")
	expect(2, "good")
	for body, want := range map[string]string{"": "or DELETE", "lat": "did you mean late?", "wrong-checksum": "with RTU only"} {
		if code, text := ask("PUT", "/misbehave", body); code != 400 || !strings.Contains(text, want) {
			t.Errorf("%q: %d %s", body, code, text)
		}
	}
	if code, text := ask("PUT", "/misbehave/9", "silent"); code != 400 || !strings.Contains(text, `there is no unit "9"`) {
		t.Errorf("%d %s", code, text)
	}
}

func TestModbusCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"eastron/sdm63":                                       `did you mean "eastron/sdm630"?`,
		"none.yaml":                                           "no such file",
		"eastron/sdm630 sunspec/103":                          "different devices",
		"eastron/sdm630 --units 0":                            "--units: ",
		"eastron/sdm630 --units 5-3":                          "--units: ",
		"eastron/sdm630 --dead 7":                             "--dead: there is no unit 7",
		"eastron/sdm630 --misbehave lat":                      "--misbehave: ",
		"eastron/sdm630 --misbehave 2:late":                   "there is no unit 2",
		"eastron/sdm630 --pty --misbehave reset":              "reset can be shown with TCP connections only",
		"eastron/sdm630 --pty --listen 127.0.0.1:0":           "can't be used together",
		"eastron/sdm630 --link x":                             "expected --pty",
		"eastron/sdm630 --baud 5":                             "--baud is 5",
		"eastron/sdm630 --load H9":                            "--load: ",
		"eastron/sdm630 --rated-power 5":                      "--rated-power: ",
		"eastron/sdm630 --energy 5":                           "--energy: ",
		"eastron/sdm630 --speed 0":                            "--speed: ",
		"eastron/sdm630 --read-only x":                        "--read-only: ",
		"eastron/sdm630 --listen 127.0.0.1:0 --control :5021": "no address of this machine alone",
	} {
		out, err := exec.Command(binary, append([]string{"modbus"}, strings.Fields(args)...)...).CombinedOutput()
		if code := exitCode(err); code != 2 || !strings.Contains(string(out), want) {
			t.Errorf("%s: exit code %d, no %q in %s", args, code, want, out)
		}
	}
	if out, err := exec.Command(binary, "modbus", "--help").CombinedOutput(); err != nil || !strings.Contains(string(out), "--pty --baud 9600 --units 1-32 --dead 7,19") || !strings.Contains(string(out), "wrong-transaction=N") {
		t.Errorf("%v: %s", err, out)
	}
}
