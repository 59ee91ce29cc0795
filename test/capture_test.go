package test

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/iec104peer"
	"github.com/busbar/busbar/test/peer"
)

// dissected is what tshark finds in a capture: the addresses of objects, and the values of
// those that are short floating point.
func dissected(t *testing.T, file, as string) (objects []string, floats []float64) {
	t.Helper()
	out, err := exec.Command(peer.Program(t, "tshark", "tshark"), "-r", file, "-d", as, "-T", "fields", "-e", "iec60870_asdu.ioa", "-e", "iec60870_asdu.float").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		ioas, values, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		for _, ioa := range strings.Split(ioas, ",") {
			if ioa != "" && ioa != "0" {
				objects = append(objects, ioa)
			}
		}
		for _, v := range strings.Split(values, ",") {
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				floats = append(floats, f)
			}
		}
	}
	return objects, floats
}

var shown = regexp.MustCompile(`[:;] (\d+) = ([^\s;]+)`)

// explained is the same of what busbar device explain prints.
func explained(text string) (objects []string, floats []float64) {
	for line := range strings.Lines(text) {
		at := strings.Index(line, ", station ")
		if at < 0 {
			continue
		}
		for _, m := range shown.FindAllStringSubmatch(line[at+len(", station "):], -1) {
			objects = append(objects, m[1])
			if f, err := strconv.ParseFloat(m[2], 64); err == nil && (strings.Contains(line, "M_ME_NC") || strings.Contains(line, "M_ME_TF")) {
				floats = append(floats, f)
			}
		}
	}
	return objects, floats
}

func sameValues(t *testing.T, file, as, text string) {
	t.Helper()
	objects, floats := dissected(t, file, as)
	ours, values := explained(text)
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }
	if len(objects) < 4 || len(floats) < 1 || !slices.Equal(ours, objects) || !slices.EqualFunc(values, floats, near) {
		t.Errorf("tshark finds\n%v %v, and we\n%v %v in\n%s", objects, floats, ours, values, text)
	}
}

var delivering = regexp.MustCompile(`busbar_gateway_samples_total\{validity="good"\} [1-9]`)

const capturing = `gateway: {id: gw}
forward: {kafka: {brokers: ["127.0.0.1:1"]}}
buffer: {path: data}
status: {listen: %q}
devices:
  - id: rtu
    %s
    signals: [{name: Level, ioa: 1003, unit: "1"}]
`

// What goes over a link is in the file as it went there: Wireshark's dissector, which we
// didn't write, finds the same in it.
func TestWhatIsCapturedIsWhatIsSaid(t *testing.T) {
	t.Parallel()
	dir, listen, status := t.TempDir(), freeAddress(t), freeAddress(t)
	start(t, dir, "busbar-sim", "iec104", "--listen", listen, "--points", "20", "--every", "20ms")
	await(t, "the station listens", 20*time.Second, func() bool { return reachable(listen) })
	write(t, dir, "gateway.yaml", fmt.Sprintf(capturing, status, fmt.Sprintf("iec104: {endpoint: \"tcp://%s\", counters_every: 1h}", listen)))
	_, port, _ := strings.Cut(listen, ":")
	capture := func(name string) (text string) {
		if _, errs, code := call(t, dir, "busbar", "device", "capture", "--config", "gateway.yaml", "--device", "rtu", "--for", "2s", name); code != 0 {
			t.Fatalf("exit code %d, %s", code, errs)
		}
		text, errs, code := call(t, dir, "busbar", "device", "explain", name)
		if code != 0 {
			t.Fatalf("exit code %d, %s%s", code, text, errs)
		}
		sameValues(t, filepath.Join(dir, name), "tcp.port=="+port+",iec60870_104", text)
		return text
	}
	text := capture("own.pcap")
	for _, want := range []string{"STARTDT act", "STARTDT con", "C_IC_NA activation, station 1: QOI 20", "C_IC_NA activation terminated", "M_IT_NA counter interrogation", "M_ME_TF spontaneous", " at 20", "STOPDT act"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't in\n%s", want, text)
		}
	}
	start(t, dir, "busbar-gateway", "run", "--config", "gateway.yaml")
	await(t, "the gateway reads it", 30*time.Second, func() bool {
		return reachable(status) && delivering.MatchString(get(t, "http://"+status+"/metrics"))
	})
	if text = capture("running.pcap"); strings.Contains(text, "STARTDT") || !strings.Contains(text, "M_ME_TF spontaneous") {
		t.Errorf("it isn't the gateway's link:\n%s", text)
	}
	if _, errs, code := call(t, dir, "busbar", "device", "capture", "--config", "gateway.yaml", "--device", "rtu", "own.pcap"); code == 0 || !strings.Contains(errs, "exists") {
		t.Errorf("a file is overwritten: %d, %s", code, errs)
	}
}

func TestASerialLineIsCaptured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := iec104peer.StartSerial(t, iec104peer.Serial{Link: 1, Octets: 1, Common: 1}, "")
	write(t, dir, "gateway.yaml", fmt.Sprintf(capturing, freeAddress(t), fmt.Sprintf("iec101: {endpoint: %q, counters_every: 1h}", s.Endpoint())))
	if _, errs, code := call(t, dir, "busbar", "device", "capture", "--config", "gateway.yaml", "--device", "rtu", "--for", "3s", "line.pcap"); code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	text, errs, code := call(t, dir, "busbar", "device", "explain", "line.pcap", "--config", "gateway.yaml", "--device", "rtu")
	if code != 0 || !strings.Contains(text, "reset of remote link, link address 1") || !strings.Contains(text, "M_IT_NA counter interrogation, station 1: 1005 = 4711") {
		t.Fatalf("exit code %d, %s%s", code, text, errs)
	}
	sameValues(t, filepath.Join(dir, "line.pcap"), "rtacser.data,iec60870_101", text)
}

func TestFramesAreExplained(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--hex 680e0000020064010700010000000014": {0, "I N(S)=0 N(R)=1  C_IC_NA activation confirmed, station 1: QOI 20\n"},
		"--hex 680e0000000064014a00010000000014": {0, "I N(S)=0 N(R)=0  C_IC_NA activation terminated, negative, station 1: QOI 20\n"},
		"--hex 680407000000ff":                   {1, "STARTDT act\nbad: what comes doesn't begin with 0x68: ff: ff\n"},
		"--hex 68FF":                             {1, "bad: impossible length of an APDU: 255: 68ff\n"},
		"--iec101 --hex 1049014b16":              {1, "bad: the checksum is wrong: 0x4b, expected 0x4a: 1049014b16\n"},
	} {
		out, errs, code := call(t, t.TempDir(), "busbar", append([]string{"device", "explain"}, strings.Fields(args)...)...)
		if code != want.code || !strings.HasPrefix(out, want.text) {
			t.Errorf("%s: exit code %d\n%s%s", args, code, out, errs)
		}
	}
}
