package session

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/busbar/busbar/adapters/sparkplug/edge"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/test/mqttrecord"
)

// node says what a test has it say.
type node struct {
	willed    bool
	lists     [][]edge.Message
	then      error // when there are no more
	leave     bool  // when it is told something
	published int
}

func (n *node) Filters() []string           { return []string{"commands"} }
func (n *node) Will() (edge.Message, bool)  { return edge.Message{Topic: "death"}, n.willed }
func (n *node) Death() (edge.Message, bool) { return edge.Message{Topic: "death"}, n.willed }
func (n *node) Begin()                      {}
func (n *node) Published()                  { n.published++ }
func (n *node) Receive(string, []byte) bool { return n.leave }

func (n *node) Next() (list []edge.Message, err error) {
	if len(n.lists) == 0 {
		return nil, n.then
	}
	list, n.lists = n.lists[0], n.lists[1:]
	return list, nil
}

func (n *node) run(ctx context.Context, b *mqttrecord.Broker) error {
	return Run(ctx, mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "n"}, mqttconn.Options{}, n, nil)
}

var abc = [][]edge.Message{{{Topic: "a"}, {Topic: "b"}}, {{Topic: "c"}}}

// said is what a client has published, and how it has begun and ended.
func said(list []packets.ControlPacket) (topics string, connect *packets.ConnectPacket, ended bool) {
	for _, p := range list {
		switch p := p.(type) {
		case *packets.ConnectPacket:
			connect = p
		case *packets.PublishPacket:
			topics += " " + p.TopicName
		case *packets.DisconnectPacket:
			ended = true
		}
	}
	return topics, connect, ended
}

// A node that breaks off says nothing more, and one that is to leave says so, each with a
// will or without one.
func TestHowASessionEnds(t *testing.T) {
	broken := errors.New("broken off")
	for _, willed := range []bool{true, false} {
		b := mqttrecord.Start(t)
		n := &node{willed: willed, lists: abc, then: broken}
		if err := n.run(t.Context(), b); err != broken || n.published != 3 {
			t.Errorf("%v after %d messages", err, n.published)
		}
		list := b.Await("what it has said", func(list []packets.ControlPacket) bool { topics, _, _ := said(list); return topics == " a b c" })
		if _, connect, ended := said(list); ended || connect.WillFlag != willed || connect.Keepalive != uint16(keepAlive/time.Second) {
			t.Errorf("ended %v, %v", ended, connect)
		}

		b = mqttrecord.Start(t)
		n = &node{willed: willed, leave: true}
		result := make(chan error)
		go func() { result <- n.run(t.Context(), b) }()
		b.Await("it has subscribed", func(list []packets.ControlPacket) bool { return len(list) == 2 })
		b.Send("commands", nil, false)
		if err := <-result; err != ErrHostAway {
			t.Error(err)
		}
		list = b.Await("it has ended", func(list []packets.ControlPacket) bool { _, _, ended := said(list); return ended })
		if topics, _, _ := said(list); willed != (topics == " death") || !willed && topics != "" {
			t.Errorf("at last it says %q", topics)
		}
	}
}

// What there is to say is said, though the session ends before.
func TestFarewell(t *testing.T) {
	b := mqttrecord.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	n := &stopped{node{willed: true, lists: abc}, stop}
	if err := Run(ctx, mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "n"}, mqttconn.Options{}, n, nil); err != context.Canceled {
		t.Error(err)
	}
	list := b.Await("it has ended", func(list []packets.ControlPacket) bool { _, _, ended := said(list); return ended })
	if topics, _, _ := said(list); topics != " a b c death" {
		t.Errorf("it says %q", topics)
	}
}

// stopped is stopped as it begins.
type stopped struct {
	node
	stop func()
}

func (n *stopped) Begin() { n.stop() }
