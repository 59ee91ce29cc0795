package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/test/kafka"
)

// site is a gateway, a cloud and a simulator, each started by itself.
type site struct {
	dir, broker, console, status string
	meters                       []string
}

const twoMeters = `sim: {seed: 1, speed: 60, truth_log: truth.jsonl}
devices:
  - {id: feeder-1-head, feeder: feeder-1, listen: "%s", unit: 1, powered_by: auxiliary, profile: H0-A, rated_power: 60 kW}
  - {id: feeder-2-head, feeder: feeder-2, listen: "%s", unit: 1, powered_by: auxiliary, profile: H0-B, rated_power: 60 kW}
`

const gatewayYAML = `gateway: {id: north-gw1, site: north, zone: region-1}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 64MiB, commit_every: 200ms}
time: {source: assumed}
status: {listen: "%s"}
defaults: {poll_every: 200ms, timeout: 500ms}
devices:
  - id: feeder-1-head
    asset: feeder-1
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: PhV.phsA, input: 0x00, type: float32, unit: V}
      - {name: PhV.phsB, input: 0x02, type: float32, unit: V}
      - {name: PhV.phsC, input: 0x04, type: float32, unit: V}
      - {name: TotW, input: 0x34, type: float32, unit: W}
  - id: feeder-2-head
    asset: feeder-2
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: PhV.phsA, input: 0x00, type: float32, unit: V}
      - {name: PhV.phsB, input: 0x02, type: float32, unit: V}
      - {name: PhV.phsC, input: 0x04, type: float32, unit: V}
      - {name: TotW, input: 0x34, type: float32, unit: W}
rules:
  - use: en50160
    with: {reference_voltage: 230 V}
    capture: {before: 2s, after: 1s}
`

func newSite(t *testing.T, broker string, faults string) site {
	t.Helper()
	s := site{dir: t.TempDir(), broker: broker, console: freeAddress(t), status: freeAddress(t), meters: []string{freeAddress(t), freeAddress(t)}}
	log := fmt.Sprintf("{kafka: {brokers: [%q]}}", broker)
	if broker == "" {
		s.broker = freeAddress(t)
		log = fmt.Sprintf("{embedded: {listen: %q, path: log}}", s.broker)
	}
	write(t, s.dir, "sim.yaml", fmt.Sprintf(twoMeters, s.meters[0], s.meters[1])+faults)
	write(t, s.dir, "gateway.yaml", fmt.Sprintf(gatewayYAML, s.broker, s.status, s.meters[0], s.meters[1]))
	write(t, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: %s\nstore: {path: cloud.db}\n", s.console, log))
	enrol(t, s.dir)
	return s
}

// onKafka connects the gateway, which is called after its user, and the cloud to
// a cluster.
func (s site) onKafka(t *testing.T, gateway, cloud kafkaconn.Config) {
	t.Helper()
	s.edit(t, "gateway.yaml", fmt.Sprintf("forward: {kafka: {brokers: [%q]}}\n", s.broker), "forward:\n  kafka:\n"+kafka.YAML(gateway, "    "))
	s.edit(t, "cloud.yaml", fmt.Sprintf("log: {kafka: {brokers: [%q]}}\n", s.broker),
		"log:\n  replicas: 3\n  min_in_sync: 2\n  kafka:\n"+kafka.YAML(cloud, "    "))
}

func (s site) edit(t *testing.T, name, old, new string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		t.Fatalf("%s doesn't have %q once", name, old)
	}
	write(t, s.dir, name, strings.Replace(string(text), old, new, 1))
}

func (s site) sim(t *testing.T) *program { return start(t, s.dir, "busbar-sim", "run", "sim.yaml") }
func (s site) gateway(t *testing.T) *program {
	return start(t, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml")
}
func (s site) cloud(t *testing.T) *program {
	return start(t, s.dir, "busbar-cloud", "run", "--config", "cloud.yaml")
}

type gatewayState struct {
	ID     string `json:"id"`
	Stored uint64 `json:"stored"`
	Totals []struct {
		Stream   string `json:"stream"`
		Epochs   int    `json:"epochs"`
		Running  int    `json:"running"`
		Expected uint64 `json:"expected"`
		Received uint64 `json:"received"`
		Lost     uint64 `json:"lost"`
	} `json:"totals"`
}

// epochs is how many there are, of both streams.
func (g gatewayState) epochs() (n int) {
	for _, of := range g.Totals {
		n += of.Epochs
	}
	return n
}

// ask gets a document of the cloud's API; false while it can't.
func (s site) ask(t *testing.T, path string, into any) bool {
	t.Helper()
	response, err := http.Get("http://" + s.console + path)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return false
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
	return true
}

func (s site) state(t *testing.T) (g gatewayState, ok bool) {
	var answer struct {
		Gateways []gatewayState `json:"gateways"`
	}
	if !s.ask(t, "/api/v1/gateways?stored=true", &answer) || len(answer.Gateways) != 1 {
		return g, false
	}
	return answer.Gateways[0], true
}

// awaitComplete waits until the store has everything that the gateway, which
// has been stopped, says it committed.
func (s site) awaitComplete(t *testing.T) gatewayState {
	t.Helper()
	var g gatewayState
	await(t, "everything committed is stored", 30*time.Second, func() bool {
		var ok bool
		if g, ok = s.state(t); !ok || len(g.Totals) == 0 {
			return false
		}
		for _, of := range g.Totals {
			if of.Running > 0 || of.Received != of.Expected {
				return false
			}
		}
		return true
	})
	var telemetry uint64
	for _, of := range g.Totals {
		if of.Lost != 0 {
			t.Errorf("%s: %d lost", of.Stream, of.Lost)
		}
		if of.Stream == "telemetry" {
			telemetry = of.Received
		}
	}
	if g.Stored != telemetry || telemetry == 0 {
		t.Errorf("%d samples in the store, %d received", g.Stored, telemetry)
	}
	return g
}

// Three brokers, TLS, a gateway that is known by its certificate and a cloud that
// is known by its password and creates the topics.
func TestPartsAgainstRealKafka(t *testing.T) {
	t.Parallel()
	cluster, prefix := kafka.SharedWithoutTopics(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	edge := must(cluster.Gateway(ctx, prefix, "north-gw1"))(t)
	cloud := must(cluster.Cloud(ctx, prefix))(t)
	s := newSite(t, cluster.Brokers()[0], "faults:\n  - {at: 3s, feeder: feeder-2, kind: outage, for: 4s}\n")
	s.onKafka(t, edge.MTLS(), cloud.SCRAM())
	s.edit(t, "cloud.yaml", "log:\n", "measurements: {}\nlog:\n")
	s.cloud(t)
	gateway := s.gateway(t)
	s.sim(t)
	type alarms struct {
		Alarms []struct {
			ID, Asset, Rule string
			Active          bool
		} `json:"alarms"`
	}
	var list alarms
	for _, active := range []bool{true, false} {
		await(t, fmt.Sprintf("an interruption on feeder-2, active %v", active), 60*time.Second, func() bool {
			return s.ask(t, "/api/v1/alarms", &list) && len(list.Alarms) == 1 &&
				list.Alarms[0].Asset == "feeder-2" && list.Alarms[0].Rule == "voltage-interruption" && list.Alarms[0].Active == active
		})
	}
	var capture struct {
		Signals []struct {
			Name    string
			Samples []struct {
				V *float64
			}
		}
	}
	await(t, "the samples before and after", 30*time.Second, func() bool {
		return s.ask(t, "/api/v1/alarms/"+list.Alarms[0].ID+"/capture", &capture)
	})
	if len(capture.Signals) != 3 {
		t.Fatalf("%d signals were captured", len(capture.Signals))
	}
	for _, c := range capture.Signals {
		if n := len(c.Samples); n < 10 || *c.Samples[0].V < 200 || *c.Samples[n-1].V > 10 {
			t.Errorf("%s: %d samples, expected a voltage first and none at last", c.Name, n)
		}
	}
	s.awaitSent(t, time.Minute)
	gateway.stop()
	g := s.awaitComplete(t)
	readMeasurements(t, ctx, cluster, prefix, int(g.Stored))
}

// The log is away when the gateway starts, and the gateway is stopped and
// started again before it comes: everything is still there.
func TestGatewayWaitsForTheLogAcrossItsOwnRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.sim(t)
	for range 2 {
		gateway := s.gateway(t)
		s.awaitWaiting(t, 3)
		gateway.stop()
	}
	gateway := s.gateway(t)
	s.cloud(t)
	await(t, "the backlog is stored", 30*time.Second, func() bool {
		g, ok := s.state(t)
		return ok && g.Stored > 0
	})
	s.awaitSent(t, time.Minute)
	gateway.stop()
	if g := s.awaitComplete(t); g.epochs() != 6 {
		t.Errorf("%d streams of epochs, want two of each of the gateway's three runs", g.epochs())
	}
}

// awaitWaiting waits until so many records of telemetry, or more, are on the
// gateway's disk that the log hasn't acknowledged.
func (s site) awaitWaiting(t *testing.T, records int) {
	t.Helper()
	await(t, "records wait in the buffer", 20*time.Second, func() bool { return s.waiting(t) >= records })
}

// awaitSent waits until the log has acknowledged all telemetry, backfill
// included, which a gateway that is stopped leaves for its next start.
func (s site) awaitSent(t *testing.T, within time.Duration) {
	t.Helper()
	await(t, "the gateway has sent its backlog", within, func() bool { return s.waiting(t) == 0 })
}

// waiting is how many records of telemetry the log hasn't acknowledged, -1 while
// the gateway doesn't say.
func (s site) waiting(t *testing.T) int {
	t.Helper()
	if !reachable(s.status) {
		return -1
	}
	for line := range strings.Lines(get(t, "http://"+s.status+"/metrics")) {
		var n int
		if _, err := fmt.Sscanf(line, `busbar_gateway_buffer_waiting_records{stream="telemetry"} %d`, &n); err == nil {
			return n
		}
	}
	return -1
}

// One device that is away, slow or talks nonsense costs its own samples only.
func TestBadDeviceCostsOnlyItsOwnSamples(t *testing.T) {
	for how, quality := range map[string]string{"silent": "bad (timeout)", "late=2s": "bad (timeout)", "garbage": "bad (malformed answer)"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "", fmt.Sprintf("faults:\n  - {at: 1s, device: feeder-2-head, kind: misbehave, how: %q, for: 1h}\n", how))
			s.cloud(t)
			s.sim(t)
			s.gateway(t)
			await(t, "feeder-2-head is bad with the reason", 30*time.Second, func() bool {
				bad := s.power(t, "feeder-2-head")
				return bad.Latest != nil && bad.Latest.Q == quality && bad.Latest.V == nil
			})
			// From now on the other meter must not miss a poll.
			good := s.power(t, "feeder-1-head")
			var answer struct{ Samples []sample }
			path := fmt.Sprintf("/api/v1/series/%d/samples?from_us=%d&to_us=%d", good.ID, good.Latest.T, good.Latest.T+3_000_000)
			await(t, "three seconds of feeder-1-head", 20*time.Second, func() bool {
				return s.ask(t, path, &answer) && len(answer.Samples) >= 15
			})
			for _, sample := range answer.Samples {
				if sample.Q != "good" {
					t.Errorf("feeder-1-head: %+v", sample)
				}
			}
		})
	}
}

type sample struct {
	T int64
	V *float64
	Q string
}

type series struct {
	ID           int64
	Device, Name string
	Latest       *sample
}

// power is a device's series TotW, the zero series while the cloud has none.
func (s site) power(t *testing.T, device string) series {
	t.Helper()
	var all struct{ Series []series }
	s.ask(t, "/api/v1/series", &all)
	for _, one := range all.Series {
		if one.Device == device && one.Name == "TotW" {
			return one
		}
	}
	return series{}
}

func TestConfigValidateNamesEveryErrorAndItsPlace(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile("../firmware-config/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "good.yaml", string(good))
	if out, errs, code := call(t, dir, "busbar", "config", "validate", "good.yaml"); code != 0 || !strings.Contains(out, "good.yaml is valid") {
		t.Errorf("a good file: exit code %d\n%s%s", code, out, errs)
	}
	write(t, dir, "bad.yaml", `gateway: {id: North, site: north}
forward: {kafka: {brokers: ["kafka-0.example:9092"]}}
buffer: {path: buffer, max_size: 4 lots}
devices:
  - id: meter
    modbus: {endpoint: "tcp://10.0.0.11:502", unit: 0400}
    signals:
      - {name: PhV.phsA, imput: 0, type: float32, unit: V}
rules:
  - {name: hot, when: TopOil > }
`)
	_, errs, code := call(t, dir, "busbar", "config", "validate", "bad.yaml")
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range []string{"bad.yaml:1:15: gateway.id:", "bad.yaml:2:29: forward.kafka", "bad.yaml:3:34: buffer.max_size:", "bad.yaml:6:", "bad.yaml:8:26: devices[0].signals[0]", `"input"`} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is missing in\n%s", want, errs)
		}
	}
	for _, program := range []string{"busbar-gateway", "busbar-cloud"} {
		if _, errs, code := call(t, dir, program, "run", "--config", "bad.yaml"); code != 2 || !strings.Contains(errs, "bad.yaml:") {
			t.Errorf("%s with a bad file: exit code %d\n%s", program, code, errs)
		}
	}
}

func TestConfigSchemaAcceptsTheExample(t *testing.T) {
	out, _, code := call(t, t.TempDir(), "busbar", "config", "schema")
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("gateway.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compile("gateway.schema.json"); err != nil {
		t.Error(err)
	}
}

func TestDeviceReadPrintsValuesWithUnitAndQuality(t *testing.T) {
	t.Parallel()
	s := newSite(t, "127.0.0.1:9", "")
	s.sim(t)
	read := func(device string) (string, string, int) {
		return call(t, s.dir, "busbar", "device", "read", "--config", filepath.Join(s.dir, "gateway.yaml"), "--device", device)
	}
	var out string
	await(t, "the meter answers", 10*time.Second, func() bool {
		var code int
		out, _, code = read("feeder-1-head")
		return code == 0
	})
	line := strings.Fields(strings.Split(out, "\n")[0])
	if len(line) != 4 || line[0] != "PhV.phsA" || !strings.HasPrefix(line[1], "2") || line[2] != "V" || line[3] != "good" {
		t.Errorf("first line %q", line)
	}
	if _, errs, code := read("feeder-9-head"); code != 2 || !strings.Contains(errs, "feeder-1-head") {
		t.Errorf("unknown device: exit code %d: %s", code, errs)
	}
	write(t, s.dir, "gateway.yaml", fmt.Sprintf(gatewayYAML, s.broker, s.status, "127.0.0.1:9", s.meters[1]))
	if _, errs, code := read("feeder-1-head"); code != 1 || !strings.Contains(errs, "127.0.0.1:9") || !strings.Contains(errs, "feeder-1-head") {
		t.Errorf("a device that is away: exit code %d: %s", code, errs)
	}
}
