package kafkaconn

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"
)

// connections notes those of a client.
type connections struct {
	mu  sync.Mutex
	all []net.Conn
}

func (c *connections) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, conn net.Conn, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, conn)
}

// An idle connection costs little.
func TestIdleConnectionsAskRarely(t *testing.T) {
	options, err := Config{Brokers: []string{broker(t)}}.Options(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var made connections
	client, err := kgo.NewClient(append(options, kgo.WithHooks(&made))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	made.mu.Lock()
	defer made.mu.Unlock()
	for _, c := range made.all {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			if idle, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); idle != 120 || err != nil {
				t.Errorf("it asks after %d s, %v", idle, err)
			}
		})
	}
	if len(made.all) == 0 {
		t.Error("no connection was made")
	}
}
