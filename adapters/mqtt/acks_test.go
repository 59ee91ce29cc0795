package mqtt

import (
	"slices"
	"testing"

	"github.com/busbar/busbar/mqttconn"
)

// Two deliveries are on disk when both are, and lost when one is.
func TestBoth(t *testing.T) {
	for _, c := range []struct {
		first, second bool
		want          []bool
	}{
		{true, true, []bool{true}}, {true, false, []bool{false}}, {false, true, []bool{false}}, {false, false, []bool{false, false}},
	} {
		var told []bool
		one, other := both(func(committed bool) { told = append(told, committed) })
		one(c.first)
		other(c.second)
		if !slices.Equal(told, c.want) {
			t.Errorf("%v and %v: %v", c.first, c.second, told)
		}
	}
	if one, other := both(nil); one != nil || other != nil {
		t.Error("nobody waits, and is told")
	}
}

// Messages are acknowledged in the order in which they came, whatever is committed first,
// and none behind one that never will be.
func TestAcksInOrder(t *testing.T) {
	disk := &onDisk{}
	a := newAcks(disk)
	received := func(id uint16) mqttconn.Received {
		return mqttconn.Received{Topic: "a", Payload: []byte{byte(id)}, QoS: 1, ID: id, Duplicate: true}
	}
	var told []func(bool)
	for id := range uint16(4) {
		told = append(told, a.expect([]message{remember(received(id + 1))}))
	}
	due := func() (ids []uint16) {
		messages, _ := a.due()
		for _, m := range messages {
			ids = append(ids, m.ID)
		}
		return ids
	}
	told[1](true)
	if got := due(); got != nil {
		t.Errorf("%v", got)
	}
	if !disk.has(received(2)) || disk.has(received(1)) {
		t.Error("what is on disk isn't known")
	}
	told[0](true)
	if got := due(); !slices.Equal(got, []uint16{1, 2}) {
		t.Errorf("%v", got)
	}
	other := received(2)
	other.Payload = []byte{9}
	if !disk.has(received(1)) || !disk.has(received(2)) || disk.has(other) {
		t.Error("what was acknowledged isn't known")
	}
	told[2](false)
	told[3](true)
	if messages, lost := a.due(); len(messages) > 0 || !lost {
		t.Errorf("%v, %v", messages, lost)
	}
}

// Brokers use ids again: a message isn't on disk because an earlier one with its id said
// the same.
func TestAnIDThatIsUsedAgain(t *testing.T) {
	disk := &onDisk{}
	say := func(id uint16, payload string) mqttconn.Received {
		return mqttconn.Received{Topic: "switch", Payload: []byte(payload), QoS: 1, ID: id, Duplicate: true}
	}
	disk.add([]message{remember(say(1, "ON")), remember(say(2, "ON")), remember(say(1, "OFF"))})
	if disk.has(say(1, "ON")) || !disk.has(say(1, "OFF")) || !disk.has(say(2, "ON")) {
		t.Error("the last one with an id is what is on disk")
	}
	for n := range lastKept {
		disk.add([]message{{id: uint16(n + 100)}})
	}
	if disk.has(say(2, "ON")) || disk.has(say(3, "ON")) {
		t.Error("it remembers what it has no room for, or never had")
	}
}
