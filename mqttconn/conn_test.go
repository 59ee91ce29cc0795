package mqttconn

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// fake is a broker that answers each packet with what answer says; nothing: it is mute.
func fake(t *testing.T, answer func(packets.ControlPacket) []byte) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for {
					p, err := packets.ReadPacket(conn)
					if err != nil {
						return
					}
					conn.Write(answer(p))
				}
			}()
		}
	}()
	return Config{Broker: "tcp://" + l.Addr().String(), ClientID: "gw"}
}

var accepted = []byte{0x20, 2, 0, 0}

// Whatever a broker answers, everything ends with an error.
func TestBadBrokers(t *testing.T) {
	will := Options{Will: Message{Topic: "status"}}
	publish := func(ctx context.Context, c *Conn) error {
		_, err := c.Publish(ctx, []Message{{Topic: "a"}, {Topic: "b"}})
		return err
	}
	retained := func(ctx context.Context, c *Conn) error { return c.Retained(ctx, "a/#", func(string) {}) }
	for what, c := range map[string]struct {
		connack, answer []byte
		do              func(context.Context, *Conn) error
		want            string
	}{
		"nothing":                       {nil, nil, nil, "deadline"},
		"another protocol":              {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), nil, nil, "network Error"},
		"a refused login":               {[]byte{0x20, 2, 0, 5}, nil, nil, "not Authorized"},
		"no acknowledgement":            {accepted, nil, publish, "doesn't answer in time"},
		"another's acknowledgement":     {accepted, []byte{0x40, 2, 9, 9}, publish, "doesn't answer in time"},
		"a subscription's":              {accepted, []byte{0x90, 3, 0, 1, 0}, publish, errPacket.Error()},
		"a refused subscription":        {accepted, []byte{0x90, 3, 0, 1, 0x80}, retained, ErrRefused.Error()},
		"two subscriptions for one":     {accepted, []byte{0x90, 4, 0, 1, 0, 0}, retained, errPacket.Error()},
		"a publication's for it":        {accepted, []byte{0x40, 2, 0, 1}, retained, ""},
		"a length that nobody can have": {accepted, []byte{0x40, 0xFF, 0xFF, 0xFF, 0x7F}, publish, errPacket.Error()},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			config := fake(t, func(p packets.ControlPacket) []byte {
				if _, ok := p.(*packets.ConnectPacket); ok {
					return c.connack
				}
				return c.answer
			})
			conn, err := Dial(ctx, config, will)
			if err == nil {
				defer conn.Close()
				if c.do == nil {
					t.Fatal("it is connected")
				}
				err = c.do(ctx, conn)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, expected %s", err, c.want)
			}
		})
	}
}

// A broker that has accepted and reads nothing any more is waited for as long as ctx
// says, though the messages don't even fit what the machine takes.
func TestABrokerThatReadsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		packets.ReadPacket(conn)
		conn.Write(accepted)
		<-t.Context().Done()
	}()
	conn, err := Dial(t.Context(), Config{Broker: "tcp://" + l.Addr().String(), ClientID: "gw"}, Options{Will: Message{Topic: "status"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	n, err := conn.Publish(ctx, slices.Repeat([]Message{{Topic: "a", Payload: make([]byte, 4<<20)}}, 4))
	if took := time.Since(began); n != 0 || !errors.Is(err, errSilent) || took > 5*time.Second {
		t.Errorf("%d, %v after %v", n, err, took)
	}
}

// What isn't encrypted isn't even dialled elsewhere.
func TestPlaintextStaysHere(t *testing.T) {
	_, err := Dial(t.Context(), Config{Broker: "tcp://192.0.2.1"}, Options{})
	if err == nil || !strings.Contains(err.Error(), "is refused; use tls://") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Dial(ctx, Config{Broker: "tcp://192.0.2.1", Insecure: true}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
