// Package mqttrecord is an MQTT broker for tests of what a client sends, packet by packet:
// it accepts everything, passes nothing on, and sends only what a test has it send.
package mqttrecord

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Broker is on this machine's loopback, until the test ends.
type Broker struct {
	t       testing.TB
	Address string // host:port

	mu      sync.Mutex
	packets []packets.ControlPacket
	socket  net.Conn // the last one
	held    []packets.ControlPacket
	holding bool
}

// Start starts one.
func Start(t testing.TB) *Broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{t: t, Address: l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.socket = c
			b.mu.Unlock()
			serving.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.Break()
		serving.Wait()
	})
	return b
}

func (b *Broker) serve(c net.Conn) {
	defer c.Close()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.packets = append(b.packets, p)
		b.mu.Unlock()
		switch p := p.(type) {
		case *packets.ConnectPacket:
			b.write(c, packets.NewControlPacket(packets.Connack))
		case *packets.SubscribePacket:
			ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			ack.MessageID, ack.ReturnCodes = p.MessageID, p.Qoss
			b.write(c, ack)
		case *packets.PublishPacket:
			if p.Qos == 1 {
				ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				ack.MessageID = p.MessageID
				b.acknowledge(c, ack)
			}
		case *packets.PingreqPacket:
			b.write(c, packets.NewControlPacket(packets.Pingresp))
		}
	}
}

func (b *Broker) write(c net.Conn, p packets.ControlPacket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.Write(c) // if it fails, the client has gone
}

func (b *Broker) acknowledge(c net.Conn, ack packets.ControlPacket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holding {
		b.held = append(b.held, ack)
		return
	}
	ack.Write(c)
}

// Hold keeps acknowledgements back, until they are released.
func (b *Broker) Hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding = true
}

// Release sends those that were kept back.
func (b *Broker) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ack := range b.held {
		ack.Write(b.socket)
	}
	b.held, b.holding = nil, false
}

// Send sends a message to the client at QoS 0.
func (b *Broker) Send(topic string, payload []byte, retained bool) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Retain = topic, payload, retained
	b.mu.Lock()
	defer b.mu.Unlock()
	p.Write(b.socket)
}

// Break breaks the connection.
func (b *Broker) Break() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket != nil {
		b.socket.Close()
	}
}

// Packets are those that have come, but for pings.
func (b *Broker) Packets() (list []packets.ControlPacket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.packets {
		if _, ping := p.(*packets.PingreqPacket); !ping {
			list = append(list, p)
		}
	}
	return list
}

// Await waits until the packets that have come are as they should be, and returns them.
func (b *Broker) Await(what string, are func([]packets.ControlPacket) bool) []packets.ControlPacket {
	b.t.Helper()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		list := b.Packets()
		if are(list) {
			return list
		}
		if time.Now().After(limit) {
			b.t.Fatalf("in vain: %s: %v", what, list)
		}
	}
}
