// Package sparkplugpeer runs edge nodes that we didn't write, for tests: those of npm's
// sparkplug-client.
package sparkplugpeer

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/test/mosquitto"
	"github.com/busbar/busbar/test/peer"
)

// Peer is one edge node, in a process of its own.
type Peer struct {
	t       testing.TB
	process *exec.Cmd
	in      io.WriteCloser

	mu     sync.Mutex
	events []Event
}

// Event is something that happened to it.
type Event struct {
	Event   string  `json:"event"` // birth, ncmd, dcmd, message, subscribed, close or error
	Topic   string  `json:"topic"`
	Device  string  `json:"device"`
	Text    string  `json:"text"`
	Payload Payload `json:"payload"`
}

// Payload is a message as the library reads and writes it.
type Payload struct {
	Timestamp any      `json:"timestamp,omitempty"`
	Seq       any      `json:"seq,omitempty"`
	Metrics   []Metric `json:"metrics"`
}

// Metric is one of its metrics. A number beyond 2^53 is a Long, bytes are Bytes.
type Metric struct {
	Name         string              `json:"name,omitempty"`
	Alias        any                 `json:"alias,omitempty"`
	Type         string              `json:"type,omitempty"`
	Datatype     int                 `json:"datatype,omitempty"` // of one that was received
	Value        any                 `json:"value"`
	Timestamp    any                 `json:"timestamp,omitempty"`
	IsHistorical bool                `json:"isHistorical,omitempty"`
	IsNull       bool                `json:"isNull,omitempty"`
	Properties   map[string]Property `json:"properties,omitempty"`
}

// Property is a property of a metric.
type Property struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// Long is a number that JSON can't have.
type Long struct {
	Text string `json:"long"`
}

// Bytes are some.
type Bytes struct {
	Base64 []byte `json:"base64"`
}

// Start starts one. It ends with the test. If it isn't installed, the test is skipped, or
// fails if CI is set.
func Start(t testing.TB) *Peer {
	t.Helper()
	modules := filepath.Join(peer.Root(), ".peers", "sparkplug", "node_modules")
	_, err := os.Stat(filepath.Join(modules, "sparkplug-client"))
	node, noNode := exec.LookPath("node")
	if err != nil || noNode != nil {
		peer.Missing(t, "no sparkplug-client: make peers")
	}
	p := &Peer{t: t, process: exec.Command(node, filepath.Join(peer.Root(), "test", "peers", "sparkplug", "peer.js"))}
	p.process.Env = append(os.Environ(), "NODE_PATH="+modules)
	p.process.Stderr = os.Stderr
	p.in, err = p.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var e Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				e = Event{Event: "error", Text: err.Error() + ": " + lines.Text()}
			}
			p.mu.Lock()
			p.events = append(p.events, e)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(p.Kill)
	return p
}

// Node starts one that is an edge node at a broker, and returns when it is connected and
// its births are awaited.
func Node(t testing.TB, b *mosquitto.Broker, group, node string) *Peer {
	t.Helper()
	p := Start(t)
	p.Do(map[string]any{"do": "connect", "url": "mqtt://" + b.Address, "group": group, "node": node})
	p.Await("birth", 1)
	return p
}

// Do has it do something: see test/peers/sparkplug/peer.js.
func (p *Peer) Do(request map[string]any) {
	p.t.Helper()
	line, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
}

// Send has it publish: nbirth, ndata, dbirth, ddata or ddeath; device is "" for itself.
// compress is GZIP, DEFLATE or "".
func (p *Peer) Send(what, device, compress string, metrics ...Metric) {
	p.t.Helper()
	request := map[string]any{"do": what, "payload": Payload{Timestamp: time.Now().UnixMilli(), Metrics: metrics}}
	if device != "" {
		request["device"] = device
	}
	if compress != "" {
		request["options"] = map[string]any{"compress": true, "algorithm": compress}
	}
	p.Do(request)
}

// Events are those of a kind that have happened.
func (p *Peer) Events(kind string) (list []Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Event == kind {
			list = append(list, e)
		}
	}
	return list
}

// Await waits until as many of a kind have happened.
func (p *Peer) Await(kind string, n int) []Event {
	p.t.Helper()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if list := p.Events(kind); len(list) >= n {
			return list
		}
		if time.Now().After(limit) {
			p.t.Fatalf("the edge node has only had %d %s: %+v, %+v", len(p.Events(kind)), kind, p.Events(kind), p.Events("error"))
		}
	}
}

// Kill ends it as a power failure would.
func (p *Peer) Kill() {
	p.process.Process.Kill()
	p.process.Wait()
}
