package gateway

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

var (
	cloudKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	otherKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

// obey lets the gateway obey whoever holds cloudKey.
func (b *bench) obey() {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "commands.pub")
	line := record.FormatPublicKey(cloudKey.Public().(ed25519.PublicKey))
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.config.Gateway.Commands = &gatewayconfig.Commands{Key: configfile.Path(path)}
}

func (b *bench) createCommands() {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(b.t.Context(), 2, 1, nil, "busbar.commands"); err != nil {
		b.t.Fatal(err)
	}
}

// send writes messages to the topic of commands.
func (b *bench) send(messages ...record.Message) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	for _, m := range messages {
		r := &kgo.Record{Topic: "busbar.commands", Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		if err := client.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func message(t *testing.T, c record.Command, key ed25519.PrivateKey) record.Message {
	t.Helper()
	if c.ID == "" {
		c.ID = record.NewCommandID()
	}
	c.By = "Ana"
	if c.Issued == 0 {
		c.Issued = telemetry.MicrosOf(time.Now())
	}
	c.Expires = c.Issued + 60_000_000
	m, err := c.Message(key)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// epoch is that of the process that was started last, by its first event.
func (b *bench) epoch(starts int) string {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumeTopics("busbar.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	epochs := map[string]bool{}
	for {
		fetches := client.PollFetches(b.t.Context())
		for _, r := range fetches.Records() {
			for _, h := range r.Headers {
				if h.Key == "epoch" {
					epochs[string(h.Value)] = true
					if len(epochs) == starts {
						return string(h.Value)
					}
				}
			}
		}
	}
}

func answers(l log) (list []telemetry.CommandAnswer) {
	for _, e := range l.of(telemetry.CommandAnswered) {
		list = append(list, *e.Answer)
	}
	return list
}

// The topic of commands comes when the gateway runs already. What it is asked is
// done or refused, and each command is answered.
func TestCommandsAreObeyedOrRefused(t *testing.T) {
	b := newBench(t)
	b.obey()
	stop := b.run()
	defer stop()
	b.meter.set(0)
	l := b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	alarm := l.of(telemetry.AlarmRaised)[0].Alarm.ID
	epoch := b.epoch(1)
	b.createCommands()
	now := telemetry.MicrosOf(time.Now())
	command := func(kind record.CommandKind, alarm string) record.Command {
		return record.Command{Gateway: "gw", Epoch: epoch, Kind: kind, Alarm: alarm}
	}
	ping := message(t, command(record.Ping, ""), cloudKey)
	unsigned := message(t, command(record.Ping, ""), cloudKey)
	unsigned.Headers = nil
	other := command(record.Ping, "")
	other.Gateway = "gx"
	late, early := command(record.Ping, ""), command(record.Ping, "")
	late.Issued, early.Issued = now-61_000_000, now+59_000_000
	elsewhere := message(t, other, cloudKey)
	elsewhere.Key = []byte("gw")
	b.send(
		message(t, other, cloudKey), // under another gateway's key: not for us to answer
		message(t, command(record.Ack, alarm), cloudKey),
		message(t, command(record.Reset, alarm), cloudKey),
		message(t, command(record.Reset, alarm), cloudKey),
		message(t, command(record.Reset, "nothing"), cloudKey),
		unsigned,
		message(t, command(record.Ping, ""), otherKey),
		elsewhere,
		message(t, late, cloudKey),
		message(t, early, cloudKey),
		message(t, command("open-breaker", ""), cloudKey),
		ping,
		ping,
	)
	want := []string{"ack done ", "reset done ", "reset refused unknown-alarm", "reset refused unknown-alarm", "ping refused unsigned",
		"ping refused unknown-key", "ping refused bad-signature", "ping refused expired", "ping refused from-the-future",
		"open-breaker refused unknown-kind", "ping done ", "ping refused repeated"}
	// The condition still holds, so that the alarm is raised again.
	l = b.read(func(l log) bool { return len(answers(l)) >= len(want) && len(l.of(telemetry.AlarmRaised)) == 2 })
	for i, a := range answers(l) {
		if got := strings.Join([]string{a.Kind, string(a.Result), a.Cause}, " "); i >= len(want) || got != want[i] || a.By != "Ana" {
			t.Errorf("answer %d: %+v, want %s", i, a, want[min(i, len(want)-1)])
		}
	}
	raised, cleared := l.of(telemetry.AlarmRaised), l.of(telemetry.AlarmCleared)
	if len(cleared) != 1 || cleared[0].Alarm.ID != alarm || raised[1].Alarm.ID == alarm || raised[1].Decided <= cleared[0].Decided {
		t.Errorf("raised %+v, cleared %+v", raised, cleared)
	}
}

// Whoever captures a command can't have it obeyed by the next process.
func TestACommandIsForOneProcess(t *testing.T) {
	b := newBench(t)
	b.obey()
	b.createCommands()
	stop := b.run()
	ping := message(t, record.Command{Gateway: "gw", Epoch: b.epoch(1), Kind: record.Ping}, cloudKey)
	b.send(ping)
	b.read(func(l log) bool { return len(answers(l)) == 1 })
	stop()
	stop = b.run()
	defer stop()
	b.epoch(2)
	b.send(ping)
	l := b.read(func(l log) bool { return len(answers(l)) >= 2 })
	if a := answers(l); a[0].Result != telemetry.CommandDone || a[1].Cause != "other-epoch" || a[0].ID != a[1].ID {
		t.Errorf("%+v", a)
	}
}

func TestAnAcknowledgementOutlivesARestart(t *testing.T) {
	b := newBench(t)
	b.obey()
	b.createCommands()
	b.meter.set(0)
	stop := b.run()
	l := b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	b.send(message(t, record.Command{Gateway: "gw", Epoch: b.epoch(1), Kind: record.Ack, Alarm: l.of(telemetry.AlarmRaised)[0].Alarm.ID}, cloudKey))
	b.read(func(l log) bool { return len(answers(l)) == 1 })
	stop()
	g, err := New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if list := (source{g, time.Now()}).Report().Alarms; len(list) != 1 || list[0].AcknowledgedBy != "Ana" || list[0].Asset != "feeder-1" {
		t.Errorf("%+v", list)
	}
}

// Without a key the topic isn't even read.
func TestCommandsAreOffWithoutAKey(t *testing.T) {
	b := newBench(t)
	b.createCommands()
	g, err := New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if g.commands != nil {
		t.Error("commands are read")
	}
	g.close()
	b.obey()
	if err := os.WriteFile(string(b.config.Gateway.Commands.Key), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(b.config, Options{Version: "test", Log: quiet}); err == nil || !strings.Contains(err.Error(), "commands.pub:1") {
		t.Errorf("a file without a key: %v", err)
	}
}

func TestCommandsHoldUpNoStopWhileTheLogIsAway(t *testing.T) {
	b := newBench(t)
	b.obey()
	b.cluster.Close()
	stop := b.run()
	stop()
}

// Without the time, a gateway can't tell what has expired; with it, it obeys.
func TestAGatewayWithoutTheTimeRefuses(t *testing.T) {
	b := newBench(t)
	b.obey()
	b.createCommands()
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	b.kernel = m
	stop := b.run()
	defer stop()
	epoch := b.epoch(1)
	// It begins to read where the topic ends, at a time that only it knows.
	until := func(want string) {
		t.Helper()
		done := make(chan struct{})
		var sender sync.WaitGroup
		sender.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
					b.send(message(t, record.Command{Gateway: "gw", Epoch: epoch, Kind: record.Ping}, cloudKey))
				}
			}
		})
		defer sender.Wait()
		defer close(done)
		b.read(func(l log) bool {
			a := answers(l)
			return len(a) > 0 && string(a[len(a)-1].Result)+" "+a[len(a)-1].Cause == want
		})
	}
	until("refused clock-unset")
	m.set(telemetry.MicrosOf(m.booted), true)
	until("done ")
}
