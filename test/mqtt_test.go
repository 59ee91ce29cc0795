package test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/test/mosquitto"
)

const mqttYAML = `gateway: {id: north-gw1, site: north}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 256MiB}
time: {source: assumed}
status: {listen: "%s"}
devices:
  - id: plant
    mqtt: {broker: "tcp://%s"}
    signals:
      - {name: Count, topic: plant/count, json: "$.n", time: "$.t", time_unit: us, unit: "1", kind: counter}
`

// mqttSite is a gateway that reads a broker; what it sends waits in its buffer.
type mqttSite struct {
	site
	broker *mosquitto.Broker
}

func newMQTTSite(t testing.TB, directives string) mqttSite {
	t.Helper()
	s := mqttSite{site{dir: t.TempDir(), status: freeAddress(t)}, mosquitto.New(t, directives)}
	write(t, s.dir, "gateway.yaml", fmt.Sprintf(mqttYAML, freeAddress(t), s.status, s.broker.Address))
	return s
}

func (s mqttSite) gateway(t testing.TB) *program {
	return start(t, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml")
}

// numbers are those of the samples of a signal in the gateway's buffer, each with the
// times that it is stored with.
func (s mqttSite) numbers(t *testing.T, signal string) map[uint64][]string {
	t.Helper()
	out, errs, code := call(t, s.dir, "busbar", "buffer", "export", "buffer")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[uint64][]string{}
	for _, row := range rows[1:] {
		if n, err := strconv.ParseUint(row[5], 10, 64); err == nil && row[3] == signal && row[6] == "good" {
			numbers[n] = append(numbers[n], row[1])
		}
	}
	return numbers
}

// span is from one time to another.
type span struct{ from, to time.Time }

func (s span) touches(o span) bool { return s.from.Before(o.to) && o.from.Before(s.to) }

// counter publishes numbers at QoS 1 until it is stopped, over whatever becomes of the
// broker, and notes which were acknowledged, and between when.
type counter struct {
	t      *testing.T
	broker string

	mu    sync.Mutex
	next  uint64
	acked map[uint64]span
}

func (c *counter) publish(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := mqttconn.Dial(ctx, mqttconn.Config{Broker: "tcp://" + c.broker, ClientID: "counter"}, mqttconn.Options{})
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		for err == nil && ctx.Err() == nil {
			err = c.some(ctx, conn)
		}
		conn.Close()
	}
}

func (c *counter) some(ctx context.Context, conn *mqttconn.Conn) error {
	c.mu.Lock()
	first := c.next
	c.next += 20
	c.mu.Unlock()
	var batch []mqttconn.Message
	for n := first; n < first+20; n++ {
		batch = append(batch, mqttconn.Message{Topic: "plant/count", Payload: fmt.Appendf(nil, `{"n":%d,"t":%d}`, n, time.Now().UnixMicro())})
	}
	began := time.Now()
	acknowledged, err := conn.Publish(ctx, batch)
	took := span{began, time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range acknowledged {
		c.acked[first+uint64(i)] = took
	}
	return err
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

// awaitMore waits until more has been acknowledged to the publisher.
func (c *counter) awaitMore(more int) {
	c.t.Helper()
	before := c.count()
	await(c.t, "messages are published", time.Minute, func() bool { return c.count() >= before+more })
}

// The gateway and the broker are killed at any moment while messages at QoS 1 come.
// What the broker had acknowledged to the publisher, and had saved when it was killed
// itself, is in the gateway's buffer in the end: the gateway acknowledges nothing that
// isn't on its disk. What comes twice is the same sample twice.
func TestMQTTKills(t *testing.T) {
	t.Parallel()
	gatewayKills, brokerKills := 8, 4
	if os.Getenv("BUSBAR_TORTURE") != "" {
		gatewayKills, brokerKills = 100, 50
	}
	data := t.TempDir()
	s := newMQTTSite(t, "max_queued_messages 0\npersistence true\nautosave_interval 1\npersistence_location "+data+"/")
	s.broker.Start()
	gateway := s.gateway(t)
	gateway.awaitLog("connected")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c := &counter{t: t, broker: s.broker.Address, acked: map[uint64]span{}}
	publishing := make(chan struct{})
	go func() { c.publish(ctx); close(publishing) }()
	var unsaved []span // from when the broker had last saved until it was killed
	for i := range gatewayKills + brokerKills {
		c.awaitMore(500)
		if i%3 < 2 && gatewayKills > 0 || brokerKills == 0 {
			gatewayKills--
			gateway.kill()
			c.awaitMore(100)
			gateway = s.gateway(t)
			continue
		}
		brokerKills--
		saved := func() time.Time {
			info, err := os.Stat(filepath.Join(data, "mosquitto.db"))
			if err != nil {
				return time.Time{}
			}
			return info.ModTime()
		}
		before := saved()
		await(t, "the broker saves", time.Minute, func() bool { return saved().After(before) })
		c.awaitMore(20)
		s.broker.Kill()
		// It begins to save before that shows, within a second of the one before.
		unsaved = append(unsaved, span{saved().Add(-100 * time.Millisecond), time.Now()})
		s.broker.Start()
	}
	c.awaitMore(500)
	stop()
	<-publishing
	last := c.next
	s.broker.Publish("plant/count", fmt.Sprintf(`{"n":%d,"t":%d}`, last, time.Now().UnixMicro()))
	var got map[uint64][]string
	await(t, "the last message is in the buffer", 2*time.Minute, func() bool {
		got = s.numbers(t, "Count")
		return len(got[last]) > 0
	})
	lost, brokers, twice := 0, 0, 0
	for n, at := range c.acked {
		switch times := got[n]; {
		case len(times) > 1:
			twice++
			for _, other := range times[1:] {
				if other != times[0] {
					t.Errorf("%d is stored at %v", n, times)
				}
			}
		case len(times) == 1:
		case slices.ContainsFunc(unsaved, at.touches):
			brokers++
		default:
			lost++
		}
	}
	t.Logf("%d messages acknowledged, %d lost, %d stored twice, as the same sample; %d more lost by the broker, which was killed before it saved them", len(c.acked), lost, twice, brokers)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged messages are lost", lost, len(c.acked))
	}
}

// What waits at the broker while the gateway is down, more than it may send at once, is
// in the buffer when the gateway is back, also if it is killed at once.
func TestMQTTBacklog(t *testing.T) {
	t.Parallel()
	s := newMQTTSite(t, "max_queued_messages 0\nmax_inflight_messages 1000")
	s.broker.Start()
	gateway := s.gateway(t)
	gateway.awaitLog("connected")
	gateway.kill()
	c := &counter{t: t, broker: s.broker.Address, acked: map[uint64]span{}}
	ctx, stop := context.WithCancel(t.Context())
	publishing := make(chan struct{})
	go func() { c.publish(ctx); close(publishing) }()
	c.awaitMore(20_000)
	stop()
	<-publishing
	for range 3 {
		gateway = s.gateway(t)
		gateway.awaitLog("connected")
		gateway.kill()
	}
	s.gateway(t)
	await(t, "all messages are in the buffer", time.Minute, func() bool { return len(s.numbers(t, "Count")) >= len(c.acked) })
	got := s.numbers(t, "Count")
	for n := range c.acked {
		if len(got[n]) == 0 {
			t.Fatalf("%d is lost", n)
		}
	}
}

// A gateway reads the simulator's meters by the configuration that it prints.
func TestMQTTSimulator(t *testing.T) {
	t.Parallel()
	s := newMQTTSite(t, "")
	s.broker.Start()
	sim := start(t, s.dir, "busbar-sim", "mqtt", "tcp://"+s.broker.Address, "--meters", "2", "--every", "100ms")
	sim.awaitLog("For gateway.yaml:")
	said, err := os.ReadFile(sim.log)
	if err != nil {
		t.Fatal(err)
	}
	_, snippet, _ := strings.Cut(string(said), "For gateway.yaml:")
	snippet, _, _ = strings.Cut(snippet, "\n\n\n")
	before, _, _ := strings.Cut(fmt.Sprintf(mqttYAML, freeAddress(t), s.status, s.broker.Address), "devices:")
	write(t, s.dir, "gateway.yaml", before+strings.TrimSpace(snippet)+"\n")
	s.gateway(t)
	await(t, "the meters are known", time.Minute, func() bool {
		text, _ := os.ReadFile(filepath.Join(s.dir, "buffer", "found-signals.json"))
		return strings.Count(string(text), `"meter_`) == 6
	})
	await(t, "they are read", time.Minute, func() bool {
		out, _, code := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "meters")
		return code == 0 && strings.Count(out, "good") == 6
	})
	sim.kill()
	await(t, "their last will is heard", time.Minute, func() bool {
		out, _, _ := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "meters")
		return strings.Count(out, "bad (not connected)") == 6
	})
}

// docs/mqtt.md's examples are what the programs take and say.
func TestMQTTDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/mqtt.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(language string) (list []string) {
		for _, block := range strings.Split(string(text), "\n```"+language+"\n")[1:] {
			block, _, _ = strings.Cut(block, "\n```")
			list = append(list, block+"\n")
		}
		return list
	}
	yaml := blocks("yaml")
	config, products, own, serve := yaml[0], yaml[1], yaml[2], yaml[3]
	b := mosquitto.New(t, "")
	b.Start()
	dir := t.TempDir()
	rest := "gateway: {id: north-gw1}\nforward: {kafka: {brokers: [localhost:9092]}}\nbuffer: {path: buffer}\nstatus: {listen: \"" + freeAddress(t) + "\"}\n"
	write(t, dir, "products.yaml", rest+products)
	write(t, dir, "site.yaml", own)
	if out, errs, code := call(t, dir, "busbar", "profile", "test", "site.yaml"); code != 0 {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	write(t, dir, "gateway.yaml", strings.ReplaceAll(rest+config+serve, "127.0.0.1:1883", b.Address))
	for _, file := range []string{"gateway.yaml", "products.yaml"} {
		if out, errs, code := call(t, dir, "busbar", "config", "validate", file); code != 0 {
			t.Fatalf("exit code %d: %s%s", code, out, errs)
		}
	}
	host, port, _ := net.SplitHostPort(b.Address)
	publish := strings.ReplaceAll(blocks("sh")[0], "mosquitto_pub ", "mosquitto_pub -h "+host+" -p "+port+" ")
	if out, err := exec.Command("sh", "-e", "-c", publish).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, errs, code := call(t, dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "pv-1")
	if want := blocks("text")[0]; out != want || code != 0 {
		t.Errorf("exit code %d: %s\n%s\nexpected\n%s", code, errs, out, want)
	}
}

// What is followed gets its signals as topics come, is known again after a restart, and
// can be read.
func TestMQTTFollows(t *testing.T) {
	t.Parallel()
	s := newMQTTSite(t, "")
	s.broker.Start()
	s.edit(t, "gateway.yaml", "    signals:\n", `    follow: [{topic: "pv/+/ac", json: "$.power", name: "{1}.TotW", unit: W}]
    signals:
`)
	const inverters = 300
	for i := range 3 {
		s.broker.Publish(fmt.Sprintf("pv/inv%d/ac", i), fmt.Sprintf(`{"power":%d}`, i), "-r")
	}
	gateway := s.gateway(t)
	gateway.awaitLog("connected")
	conn, err := mqttconn.Dial(t.Context(), mqttconn.Config{Broker: "tcp://" + s.broker.Address, ClientID: "pv"}, mqttconn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range inverters {
		if _, err := conn.Publish(t.Context(), []mqttconn.Message{{Topic: fmt.Sprintf("pv/inv%d/ac", i), Payload: fmt.Appendf(nil, `{"power":%d}`, 1000+i)}}); err != nil {
			t.Fatal(err)
		}
	}
	last := fmt.Sprintf("inv%d.TotW", inverters-1)
	await(t, "the last inverter is in the buffer", time.Minute, func() bool { return len(s.numbers(t, last)) == 1 })
	for _, i := range []int{0, 2, 150} { // those that were retained, and one that wasn't
		if got := s.numbers(t, fmt.Sprintf("inv%d.TotW", i)); len(got[uint64(1000+i)]) != 1 {
			t.Fatalf("inv%d: %v", i, got)
		}
	}
	out, errs, code := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "plant")
	if code != 0 || !strings.Contains(out, last) || !strings.Contains(out, "1299") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	gateway.kill()
	text, err := os.ReadFile(filepath.Join(s.dir, "buffer", "found-signals.json"))
	if err != nil || strings.Count(string(text), "TotW") != inverters {
		t.Errorf("%v: %d signals", err, strings.Count(string(text), "TotW"))
	}
	if !json.Valid(text) {
		t.Error("not JSON")
	}
}
