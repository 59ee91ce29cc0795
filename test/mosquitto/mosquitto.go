// Package mosquitto starts real MQTT brokers for tests, and watches what they send
// with their own client.
package mosquitto

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/test/peer"
)

// Broker is a mosquitto on this machine's loopback.
type Broker struct {
	t       testing.TB
	program string
	Address string // host:port
	config  string
	client  []string // what mosquitto_sub needs to connect
	process *exec.Cmd
	said    strings.Builder
}

// New makes a broker that Start starts. directives go into its configuration, after
// its listener; client is what mosquitto_sub needs beside host and port. It ends with
// the test. Without the program, the test is skipped, or fails if CI is set.
func New(t testing.TB, directives string, client ...string) *Broker {
	t.Helper()
	program := peer.Program(t, "mosquitto", "mosquitto")
	peer.Program(t, "mosquitto_sub", "mosquitto-clients")
	b := &Broker{t: t, program: program, Address: peer.Address(t), config: filepath.Join(t.TempDir(), "mosquitto.conf"), client: client}
	_, port, _ := net.SplitHostPort(b.Address)
	config := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", port)
	if os.Getuid() == 0 {
		config = "user root\n" + config
	}
	if err := os.WriteFile(b.config, []byte(config+directives+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() {
			t.Logf("mosquitto: %s", b.said.String())
		}
	})
	return b
}

// Start starts it, and returns when it listens.
func (b *Broker) Start() {
	b.t.Helper()
	b.process = exec.Command(b.program, "-c", b.config)
	b.process.Stdout, b.process.Stderr = &b.said, &b.said
	if err := b.process.Start(); err != nil {
		b.t.Fatal(err)
	}
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", b.Address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(limit) {
			b.t.Fatalf("mosquitto doesn't listen: %s", b.said.String())
		}
	}
}

// Kill ends it as a power failure would.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Stop ends it so that it keeps what its persistence keeps.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

// Freeze has it answer nothing, and Thaw again.
func (b *Broker) Freeze() { b.process.Process.Signal(syscall.SIGSTOP) }
func (b *Broker) Thaw()   { b.process.Process.Signal(syscall.SIGCONT) }

func (b *Broker) end(signal syscall.Signal) {
	if b.process != nil {
		b.process.Process.Signal(signal)
		b.process.Wait()
		b.process = nil
	}
}

func (b *Broker) command(program string, args ...string) *exec.Cmd {
	_, port, _ := net.SplitHostPort(b.Address)
	return exec.Command(program, slices.Concat([]string{"-h", "127.0.0.1", "-p", port}, b.client, args)...)
}

// Message is what a subscriber has got.
type Message struct {
	Topic, Payload string
	Retained       bool // it was kept from before
}

// Watcher is a subscriber.
type Watcher struct {
	mu       sync.Mutex
	messages []Message
}

// Watch subscribes to everything below a topic until the broker or the test ends. It
// returns when the broker has confirmed that.
func (b *Broker) Watch(below string) *Watcher {
	b.t.Helper()
	w := &Watcher{}
	ready := "watched/" + filepath.Base(b.t.TempDir())
	cmd := b.command("mosquitto_sub", "-q", "1", "-t", below+"/#", "-t", ready, "-F", "%r %t %p")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	subscribed := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		confirmed := false
		for lines.Scan() {
			retained, rest, _ := strings.Cut(lines.Text(), " ")
			topic, payload, _ := strings.Cut(rest, " ")
			if topic == ready {
				if !confirmed {
					close(subscribed)
				}
				confirmed = true
				continue
			}
			w.mu.Lock()
			w.messages = append(w.messages, Message{topic, payload, retained == "1"})
			w.mu.Unlock()
		}
	}()
	for limit := time.Now().Add(20 * time.Second); ; {
		b.Publish(ready, "?")
		select {
		case <-subscribed:
			return w
		case <-time.After(50 * time.Millisecond):
			if time.Now().After(limit) {
				b.t.Fatal("mosquitto_sub doesn't subscribe")
			}
		}
	}
}

// Messages are those that have come.
func (w *Watcher) Messages() []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.messages)
}

// Publish publishes a message; retain is "-r" for one that the broker keeps.
func (b *Broker) Publish(topic, payload string, retain ...string) {
	b.t.Helper()
	if out, err := b.command("mosquitto_pub", append(retain, "-q", "1", "-t", topic, "-m", payload)...).CombinedOutput(); err != nil {
		b.t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// Kept is what the broker keeps below a topic.
func (b *Broker) Kept(below string) map[string]string {
	kept := map[string]string{}
	for _, m := range b.Watch(below).Messages() {
		if m.Retained {
			kept[m.Topic] = m.Payload
		}
	}
	return kept
}

// Password makes a file of passwords with one of them.
func Password(t testing.TB, file, user, password string) {
	t.Helper()
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", file, user, password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
}
