package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A breaker's bay, on pymodbus: its position and what it is interlocked by are coils,
// and a set point is in a register.
const bayYAML = `  - id: bay-1
    asset: bay-1
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: Pos, coil: 3}
      - {name: Earthed, coil: 4}
      - {name: SetW, holding: 8, type: uint16, unit: kW}
      - {name: V, holding: 9, type: uint16, unit: V}
    control:
      - {signal: Pos, min_interval: 0s, interlock: [{when: not Earthed}]}
      - {signal: Earthed, mode: direct, min_interval: 0s}
      - {signal: SetW, min: 0, max: 5000, mode: direct, min_interval: 1h}
`

// controlStep is a step as the cloud tells it.
type controlStep struct {
	Gateway, Attempt, Action, Device, Signal, Origin, By, Requested, Old, Outcome, Cause, Detail string
	ReadBack                                                                                     string `json:"read_back"`
}

// controls are the steps that the cloud knows, newest first.
func (s site) controls(t *testing.T) []controlStep {
	var list struct{ Controls []controlStep }
	s.ask(t, "/api/v1/controls?limit=1000", &list)
	return list.Controls
}

// awaitControl waits until the cloud knows of a step.
func (s site) awaitControl(t *testing.T, what string, is func(controlStep) bool) (found controlStep) {
	t.Helper()
	await(t, "the cloud knows: "+what, time.Minute, func() bool {
		for _, c := range s.controls(t) {
			if is(c) {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// controlSite is a site with a bay on a server that Busbar didn't write.
func controlSite(t *testing.T, control string) (s site, bay string) {
	t.Helper()
	s = newSite(t, "", "")
	bay = freeAddress(t)
	_, port, _ := net.SplitHostPort(bay)
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import pymodbus.simulator").CombinedOutput(); err != nil {
		t.Fatalf("%s has no pymodbus: %s", python, out)
	}
	meter, err := filepath.Abs("../adapters/modbus/testdata/meter.py")
	if err != nil {
		t.Fatal(err)
	}
	launch(t, s.dir, "pymodbus", exec.Command(python, meter, "tcp", port))
	s.edit(t, "gateway.yaml", "site: north,", "site: north, "+control)
	s.edit(t, "gateway.yaml", "rules:\n", fmt.Sprintf(bayYAML, bay)+"rules:\n")
	await(t, "the bay listens", 30*time.Second, func() bool { return reachable(bay) })
	return s, bay
}

// write operates a signal of the bay, as Ana.
func (s site) write(t *testing.T, signal, value string, args ...string) (text string, code int) {
	t.Helper()
	out, errs, code := call(t, s.dir, "busbar", append([]string{"device", "write", "gateway.yaml", "bay-1", signal, value, "--by", "Ana"}, args...)...)
	return out + errs, code
}

// post sends what the tool would send.
func (s site) post(t *testing.T, token, signal, action, body string) (status int, answer struct{ ID, Outcome, Cause string }) {
	t.Helper()
	request, err := http.NewRequest("POST", "http://"+s.status+"/devices/bay-1/signals/"+signal+"/"+action, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return response.StatusCode, answer
}

func (s site) token(t *testing.T) string {
	t.Helper()
	path := filepath.Join(s.dir, "buffer", "control.token")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the token: mode %v", info.Mode())
	}
	token, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// shown is what the device shows now, read by the gateway.
func (s site) shown(t *testing.T, signal string) string {
	t.Helper()
	out, errs, code := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "bay-1")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == signal {
			return fields[1]
		}
	}
	t.Fatalf("no %s in %s", signal, out)
	return ""
}

// From the tool in somebody's hand to the device, and to the record in the cloud.
func TestADeviceIsOperated(t *testing.T) {
	t.Parallel()
	s, _ := controlSite(t, "control: enabled,")
	s.cloud(t)
	s.sim(t)
	if text, code := s.write(t, "Pos", "1", "--yes"); code != 1 || !strings.Contains(text, "no gateway runs here") {
		t.Errorf("without a gateway: exit code %d: %s", code, text)
	}
	gateway := s.gateway(t)
	await(t, "the gateway listens", time.Minute, func() bool { return reachable(s.status) })

	text, code := s.write(t, "Pos", "1", "--yes")
	if code != 0 || !strings.Contains(text, "Pos of bay-1 shows false. It is selected for true until ") ||
		!strings.Contains(text, "Pos of bay-1: true was written; it showed false, and shows true") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if text, code := s.write(t, "SetW", "4711", "--yes"); code != 0 || text != "SetW of bay-1: 4711 kW was written; it showed 2049 kW, and shows 4711 kW\n" {
		t.Errorf("exit code %d: %s", code, text)
	}
	for _, c := range []struct{ signal, value, says string }{
		{"SetW", "4711", "too-soon: it was operated just now, and may be again in 59m"},
		{"SetW", "5001", "out-of-range: 5001, expected 0 to 5000"},
		{"SetW", "much", `out-of-range: "much", expected a number`},
		{"Pos", "half", `out-of-range: "half", expected 1 or 0`},
	} {
		if text, code := s.write(t, c.signal, c.value, "--yes"); code != 1 || !strings.Contains(text, "refused, nothing was written: "+c.says) {
			t.Errorf("%+v: exit code %d: %s", c, code, text)
		}
	}
	for args, want := range map[string]string{
		"gateway.yaml bay-1 V 1 --yes":   "V isn't listed under control of device bay-1",
		"gateway.yaml bay-2 Pos 1 --yes": `there is no device "bay-2"`,
		"gateway.yaml bay-1 Pos 1":       "no terminal",
	} {
		if _, errs, code := call(t, s.dir, "busbar", append([]string{"device", "write"}, strings.Fields(args)...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d: %s", args, code, errs)
		}
	}
	if text, code := s.write(t, "Earthed", "on", "--yes"); code != 0 || strings.Contains(text, "selected") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if text, code := s.write(t, "Pos", "0", "--yes"); code != 1 || !strings.Contains(text, "refused, nothing was written: interlocked: not Earthed: Earthed of bay-1 is true") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if got := s.shown(t, "Pos"); got != "true" {
		t.Errorf("the breaker shows %s", got)
	}

	// Who can't read the token operates nothing, and it shows.
	for _, token := range []string{"", "x", s.token(t)[1:]} {
		if status, _ := s.post(t, token, "Earthed", "operate", `{"value":"0","by":"Eve"}`); status != http.StatusUnauthorized {
			t.Errorf("token %q: %d", token, status)
		}
	}
	s.awaitControl(t, "the attempt without a token", func(c controlStep) bool { return c.By == "Eve" && c.Outcome == "refused" && c.Cause == "unauthorised" })
	done := s.awaitControl(t, "the breaker was closed", func(c controlStep) bool { return c.Signal == "Pos" && c.Action == "operate" && c.Outcome == "done" })
	if want := (controlStep{
		Gateway: "north-gw1", Attempt: done.Attempt, Action: "operate", Device: "bay-1", Signal: "Pos", Origin: "local", By: "Ana",
		Requested: "true", Old: "false", ReadBack: "true", Outcome: "done",
	}); done != want {
		t.Errorf("%+v", done)
	}
	steps := ""
	for _, c := range s.controls(t) {
		if c.Attempt == done.Attempt {
			steps = c.Action + " " + c.Outcome + ", " + steps
		}
	}
	if steps != "select done, operate begun, operate done, " {
		t.Errorf("its steps: %s", steps)
	}
	out, errs, code := call(t, s.dir, "busbar-cloud", "control", "list", "--config", "cloud.yaml", "--device", "bay-1", "--limit", "1000")
	if code != 0 || !strings.Contains(out, "it was asked for without the gateway's token") || strings.Count(out, "begun") != 3 {
		t.Errorf("list: exit code %d\n%s%s", code, out, errs)
	}
	if text := get(t, "http://"+s.status+"/metrics"); !strings.Contains(text, `busbar_gateway_controls_total{action="operate",outcome="done"} 3`) {
		t.Error("the metrics don't count three operations")
	}

	// A gateway that is killed has nothing selected afterwards.
	if text, code := s.write(t, "Earthed", "off", "--yes"); code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	old := s.token(t)
	status, selected := s.post(t, old, "Pos", "select", `{"value":"0","by":"Ana"}`)
	if status != 200 || selected.Outcome != "done" {
		t.Fatalf("%d %+v", status, selected)
	}
	gateway.kill()
	gateway = s.gateway(t)
	await(t, "the gateway is back", time.Minute, func() bool { return reachable(s.status) })
	operate := fmt.Sprintf(`{"value":"0","by":"Ana","selection":%q}`, selected.ID)
	if status, _ := s.post(t, old, "Pos", "operate", operate); status != http.StatusUnauthorized {
		t.Errorf("the token of the process before: %d", status)
	}
	if _, answer := s.post(t, s.token(t), "Pos", "operate", operate); answer.Outcome != "refused" || answer.Cause != "not-selected" {
		t.Errorf("%+v", answer)
	}
	if got := s.shown(t, "Pos"); got != "true" {
		t.Errorf("the breaker shows %s", got)
	}
	gateway.stop()
	s.awaitComplete(t)
}

// As long as nobody has enabled it, nothing is operated, and there is no token that
// would let anybody.
func TestControlIsOffByDefault(t *testing.T) {
	t.Parallel()
	s, _ := controlSite(t, "")
	s.cloud(t)
	s.sim(t)
	s.gateway(t)
	await(t, "the gateway listens", time.Minute, func() bool { return reachable(s.status) })
	if text, code := s.write(t, "SetW", "1", "--yes"); code != 2 || !strings.Contains(text, "control is off") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "buffer", "control.token")); !os.IsNotExist(err) {
		t.Errorf("there is a token: %v", err)
	}
	for _, action := range []string{"select", "operate"} {
		if status, answer := s.post(t, "", "SetW", action, `{"value":"1","by":"Ana"}`); status != 200 || answer.Outcome != "refused" || answer.Cause != "disabled" {
			t.Errorf("%s: %d %+v", action, status, answer)
		}
	}
	s.awaitControl(t, "the refusal", func(c controlStep) bool { return c.Cause == "disabled" && c.Outcome == "refused" })
	if got := s.shown(t, "SetW"); got != "2049" {
		t.Errorf("the set point shows %s", got)
	}
}

// A gateway that is killed in the middle of an operation has said before that it
// began.
func TestKilledInTheMiddleOfAnOperation(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	wrote := make(chan bool, 1)
	go serveMuteBay(listener, wrote)
	s.edit(t, "gateway.yaml", "site: north,", "site: north, control: enabled,")
	s.edit(t, "gateway.yaml", "timeout: 500ms", "timeout: 1m")
	s.edit(t, "gateway.yaml", "rules:\n", fmt.Sprintf(bayYAML, listener.Addr())+"rules:\n")
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	await(t, "the gateway listens", time.Minute, func() bool { return reachable(s.status) })
	tool := exec.Command(filepath.Join(bin, "busbar"), "device", "write", "gateway.yaml", "bay-1", "SetW", "1", "--yes", "--by", "Ana")
	tool.Dir = s.dir
	var said bytes.Buffer
	tool.Stdout, tool.Stderr = &said, &said
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wrote:
	case <-time.After(time.Minute):
		t.Fatal("nothing is written")
	}
	gateway.kill()
	if tool.Wait() == nil || !strings.Contains(said.String(), "it may have been executed") {
		t.Errorf("the tool says %s", &said)
	}
	s.gateway(t)
	begun := s.awaitControl(t, "it has begun", func(c controlStep) bool { return c.Outcome == "begun" && c.Signal == "SetW" })
	for _, c := range s.controls(t) {
		if c.Attempt == begun.Attempt && c.Outcome != "begun" {
			t.Errorf("%+v", c)
		}
	}
}

// serveMuteBay answers reads, and never a write.
func serveMuteBay(l net.Listener, wrote chan<- bool) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				var request [12]byte
				if _, err := io.ReadFull(c, request[:]); err != nil {
					return
				}
				function, count := request[7], int(request[11])
				size := 2 * count
				switch function {
				case 1:
					size = (count + 7) / 8
				case 3:
				default:
					wrote <- true
					io.Copy(io.Discard, c)
					return
				}
				answer := append(append([]byte{}, request[:5]...), byte(3+size), request[6], function, byte(size))
				if _, err := c.Write(append(answer, make([]byte, size)...)); err != nil {
					return
				}
			}
		}()
	}
}
