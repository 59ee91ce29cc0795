//go:build linux

// The first and only process of a virtual machine that boots in 1970: it runs
// Busbar's gateway and simulator with a log of their own, sets the machine's
// clock as a time daemon would, and prints what happened for the host to check.
// With the argument ntp nobody sets the clock, and the gateway asks a time server
// of the host.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const broker = "127.0.0.1:9092"

const simYAML = `sim: {seed: 1}
devices:
  - {id: meter, feeder: feeder-1, listen: "127.0.0.1:15021", unit: 1, powered_by: auxiliary, profile: H0-A, rated_power: 60 kW}
faults:
  - {at: 500ms, feeder: feeder-1, kind: outage, for: 1h}
`

const gatewayYAML = `gateway: {id: gw, site: north}
forward: {kafka: {brokers: ["` + broker + `"]}}
buffer: {path: /tmp/buffer, max_size: 64MiB, commit_every: 200ms}
status: {listen: "127.0.0.1:9464"}
defaults: {poll_every: 200ms, timeout: 2s}
devices:
  - id: meter
    asset: feeder-1
    modbus: {endpoint: "tcp://127.0.0.1:15021"}
    signals:
      - {name: PhV.phsA, input: 0x00, type: float32, unit: V}
      - {name: PhV.phsB, input: 0x02, type: float32, unit: V}
      - {name: PhV.phsC, input: 0x04, type: float32, unit: V}
rules:
  - {use: en50160/voltage-interruption, for: 300ms}
`

func main() {
	err := run()
	if err != nil {
		say("failed", err.Error())
		for _, name := range []string{"sim", "gateway"} {
			text, _ := os.ReadFile("/tmp/" + name + ".log")
			say("log", name+": "+string(text))
		}
	} else {
		say("done", "")
	}
	unix.Sync()
	// The machine was started not to boot again.
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// say prints a line for the host: a word and a text, which may have any bytes.
func say(word, text string) {
	fmt.Printf("\nguest %s %s\n", word, base64.StdEncoding.EncodeToString([]byte(text)))
}

func run() error {
	for _, m := range []struct{ what, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
		os.MkdirAll(m.at, 0o755)
		if err := unix.Mount(m.what, m.at, m.what, 0, ""); err != nil && m.what != "devtmpfs" {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := loopback(); err != nil {
		return err
	}
	if now := time.Now(); now.Year() != 1970 {
		return fmt.Errorf("the machine boots at %v", now)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092),
		kfake.SeedTopics(1, "busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births"))
	if err != nil {
		return err
	}
	defer cluster.Close()
	if err := os.WriteFile("/tmp/sim.yaml", []byte(simYAML), 0o600); err != nil {
		return err
	}
	byServer := len(os.Args) > 1 && os.Args[1] == "ntp"
	config := gatewayYAML
	if byServer {
		config += "time: {ntp: [\"" + timeServer + "\"]}\n"
		if err := relay(); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/tmp/gateway.yaml", []byte(config), 0o600); err != nil {
		return err
	}
	sim, err := start("sim", "run", "/tmp/sim.yaml")
	if err != nil {
		return err
	}
	defer sim.Process.Kill()
	mark("start")
	gateway, err := start("gateway", "run", "--config", "/tmp/gateway.yaml")
	if err != nil {
		return err
	}
	l, err := openLog()
	if err != nil {
		return err
	}
	if err := l.await("the alarm", func() bool { return l.kinds[telemetry.AlarmRaised] == 1 }); err != nil {
		return err
	}
	if byServer {
		if err := l.await("samples, by the time server", func() bool { return l.samples > 100 }); err != nil {
			return err
		}
		return l.stop(gateway)
	}
	noon := time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC)
	for _, to := range []func() time.Time{
		func() time.Time { return noon },
		func() time.Time { return time.Now().Add(-time.Hour) },
		func() time.Time { return time.Now().Add(25 * time.Hour) },
	} {
		if err := setClock(to()); err != nil {
			return err
		}
		had := l.samples
		if err := l.await("samples after the clock was set", func() bool {
			since := time.Since(l.newest.Time())
			return l.samples > had+20 && since > -time.Minute && since < time.Minute
		}); err != nil {
			return err
		}
	}
	return l.stop(gateway)
}

// stop stops the gateway and reads the rest of the log.
func (l *log) stop(gateway *exec.Cmd) error {
	mark("stop")
	gateway.Process.Signal(unix.SIGTERM)
	if err := gateway.Wait(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return l.await("the stop", func() bool { return l.kinds[telemetry.GatewayStopped] == 1 })
}

// loopback brings up the only network there is.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

func start(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command("/busbar-"+name, args...)
	out, err := os.Create("/tmp/" + name + ".log")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, cmd.Start()
}

// mark tells the host the two clocks.
func mark(what string) {
	var boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	say(what, fmt.Sprint(boot.Nano()/1000, " ", time.Now().UnixMicro()))
}

// setClock does what a time daemon does: it sets the clock, and tells the kernel
// that it is right.
func setClock(to time.Time) error {
	mark("before")
	ts := unix.NsecToTimespec(to.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	mark("after")
	_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR, Status: unix.STA_PLL, Maxerror: 1000})
	if err != nil {
		return fmt.Errorf("tell the kernel that the clock is right: %w", err)
	}
	return nil
}

// log reads the log as it grows, and prints every record.
type log struct {
	client  *kgo.Client
	samples uint64
	newest  telemetry.Micros // of the record that came last
	kinds   map[telemetry.EventKind]int
	events  map[record.Identity]bool // that were taken: they may come twice
}

func openLog() (*log, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("busbar.telemetry", "busbar.backfill", "busbar.events"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	return &log{client: client, kinds: map[telemetry.EventKind]int{}, events: map[record.Identity]bool{}}, err
}

func (l *log) await(what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for !done() {
		fetches := l.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("not within two minutes: %s; %d samples, events %v", what, l.samples, l.kinds)
		}
		var err error
		fetches.EachRecord(func(r *kgo.Record) {
			if e := l.take(r); e != nil {
				err = e
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *log) take(r *kgo.Record) error {
	var headers []record.Header
	for _, h := range r.Headers {
		headers = append(headers, record.Header(h))
	}
	rec, err := record.ParseHeaders(headers, r.Value)
	if err != nil {
		return err
	}
	if rec.Stream == record.Events {
		if l.events[rec.Identity] {
			return nil
		}
		l.events[rec.Identity] = true
	}
	say("record", fmt.Sprint(rec.Format, " ", r.Timestamp.UnixMicro(), " ")+string(rec.Payload))
	if rec.Stream == record.Events {
		var e telemetry.Event
		if err := json.Unmarshal(rec.Payload, &e); err != nil {
			return err
		}
		l.kinds[e.Kind]++
		return nil
	}
	_, samples, err := new(telemetry.Decoder).Block(rec.Payload, nil)
	if err != nil {
		return err
	}
	l.samples += rec.Count()
	l.newest = samples[len(samples)-1].Time
	return nil
}
