package mqtt

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/test/await"
)

// refusing is a broker that grants subscriptions at QoS 0 only, and none that begins with
// secret.
func refusing(t *testing.T) (address string) {
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
					switch p := p.(type) {
					case *packets.ConnectPacket:
						packets.NewControlPacket(packets.Connack).Write(conn)
					case *packets.SubscribePacket:
						answer := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
						answer.MessageID = p.MessageID
						for _, topic := range p.Topics {
							code := byte(0)
							if strings.HasPrefix(topic, "secret") {
								code = mqttconn.Refused
							}
							answer.ReturnCodes = append(answer.ReturnCodes, code)
						}
						answer.Write(conn)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// said is a log.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// Which subscriptions the broker refuses is said, and which it grants at QoS 0 only. The
// others go on; if there are none, the device doesn't live, for that reason.
func TestRefusedSubscriptions(t *testing.T) {
	d := Device{ID: "plant", Connection: mqttconn.Config{Broker: "tcp://" + refusing(t), ClientID: "gw"}, QoS: 1, Live: live}
	topics := []string{"secret/a", "open/b"}
	for _, topic := range topics {
		d.Points = append(d.Points, Point{Name: "P", Topic: topic, Selector: Selector{Type: Number, Scale: 1}, Signal: 1})
	}
	for _, c := range []struct {
		points int
		lives  string
		says   []string
	}{
		{2, "true", []string{"refuses subscriptions", "topics=secret/a", "QoS 0 only", "topics=open/b"}},
		{1, "false", []string{"topics=secret/a", "doesn't answer", mqttconn.ErrRefused.Error()}},
	} {
		s, log := &sink{}, &said{}
		some := d
		some.Points = d.Points[:c.points]
		a := New([]Device{some}, slog.New(slog.NewTextHandler(log, nil)))
		stop := running(t, a, s)
		s.await(t, live, c.lives)
		for _, text := range c.says {
			await.True(t, text, func() bool { return log.has(text) })
		}
		stop()
	}
}
