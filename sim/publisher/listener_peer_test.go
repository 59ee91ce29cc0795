package publisher

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mosquitto"
	"github.com/busbar/busbar/test/sparkplugpeer"
)

// An implementation that isn't ours reads the births, what follows, and a death, and gets
// births again when it asks for them.
func TestAPeerListens(t *testing.T) {
	p, listener := newListener(t)
	stop := p.plays(func(*EdgeNodes) {})
	listener.Await("message", 50)
	listener.Do(map[string]any{"do": "publish", "topic": "spBv1.0/sim/NCMD/edge-1", "payload": sparkplugpeer.Payload{
		Timestamp: time.Now().UnixMilli(), Metrics: []sparkplugpeer.Metric{{Name: "Node Control/Rebirth", Type: "Boolean", Value: true}},
	}})
	names := func(kind topic.Kind, device string) (lists [][]string) {
		for _, m := range listener.Events("message") {
			if m.Topic == (topic.Topic{Kind: kind, Group: "sim", Node: "edge-1", Device: device}).String() {
				var names []string
				for _, metric := range m.Payload.Metrics {
					names = append(names, metric.Name)
				}
				lists = append(lists, names)
			}
		}
		return lists
	}
	await.True(t, "births again", func() bool { return len(names(topic.DBirth, "meter-2")) == 2 })
	stop()
	await.True(t, "a death", func() bool { return len(names(topic.NDeath, "")) == 1 })
	for _, got := range names(topic.NBirth, "") {
		if want := []string{"bdSeq", "Node Control/Rebirth", "Node Info/Values Dropped", "Supply"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	}
	for _, got := range names(topic.DBirth, "meter-1") {
		if want := []string{"TotW", "DmdWh", "PhV"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	}
	if steps := steps(listener); steps[1] == 0 || len(steps) > 1 {
		t.Errorf("from one message to the next, numbers go on by %v", steps)
	}
}

// What is done wrong is to be seen on the wire.
func TestNumbersOfMessages(t *testing.T) {
	for how, step := range map[string]int{"gap,every=3": 2, "swap,every=3": 255} {
		p, listener := newListener(t)
		misbehave, err := ParseMisbehaviours(how)
		if err != nil {
			t.Fatal(err)
		}
		p.plays(func(c *EdgeNodes) { c.Misbehave = misbehave })
		await.True(t, how, func() bool { return steps(listener)[step] > 3 })
	}
}

// newListener is a peer that listens to edge nodes.
func newListener(t *testing.T) (*plant, *sparkplugpeer.Peer) {
	b := mosquitto.New(t, "")
	b.Start()
	listener := sparkplugpeer.Node(t, b, "elsewhere", "listener")
	listener.Do(map[string]any{"do": "subscribe", "topic": topic.Namespace + "/sim/#"})
	listener.Await("subscribed", 1)
	return &plant{t: t, broker: b, truth: &truths{}}, listener
}

// steps are by how much the numbers of a node's messages go on, modulo 256, and how often.
func steps(listener *sparkplugpeer.Peer) map[int]int {
	steps := map[int]int{}
	last := -1
	for _, m := range listener.Events("message") {
		t, _ := topic.Parse(m.Topic)
		if t.Kind == topic.NCmd || t.Kind == topic.NDeath {
			continue
		}
		var seq int
		text, _ := json.Marshal(m.Payload.Seq)
		fmt.Sscan(strings.Trim(string(text), `{}":long`), &seq)
		if last >= 0 && t.Kind != topic.NBirth {
			steps[(seq-last+256)%256]++
		}
		last = seq
	}
	return steps
}
