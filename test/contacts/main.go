//go:build linux

// The first and only process of a virtual machine that has GPIO lines: it reads them as
// the gateway does, has the host press the key at one of them, and prints what it has
// read for the host to check.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/telemetry"
)

const (
	chip = "/dev/gpiochip0"
	// keyLine is where the machine has its key, and stillLine where it has nothing.
	keyLine, stillLine, noLine = 3, 5, 64
	// debounce is longer than the key is pressed.
	debounce = 2 * time.Second
)

var names = map[telemetry.SignalID]string{1: "Key", 2: "Still", 3: "Beyond", 4: "Again"}

func main() {
	if err := run(); err != nil {
		fmt.Printf("\nguest failed %q\n", err)
	} else {
		fmt.Printf("\nguest done\n")
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	for _, m := range []struct{ what, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		os.MkdirAll(m.at, 0o755)
		if err := unix.Mount(m.what, m.at, m.what, 0, ""); err != nil && m.what != "devtmpfs" {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(chip); err == nil {
			break
		} else if time.Now().After(end) {
			return err
		}
	}
	still := gpio.Line{Name: "Still", Offset: stillLine, Signal: 2}
	for _, phase := range []struct {
		name    string
		key     gpio.Line
		presses int
		edges   int // that are expected
	}{
		{"plain", gpio.Line{}, 2, 4},
		{"active low", gpio.Line{ActiveLow: true}, 1, 2},
		{"debounced", gpio.Line{Debounce: debounce}, 1, 0},
	} {
		phase.key.Name, phase.key.Offset, phase.key.Signal = "Key", keyLine, 1
		devices := []gpio.Device{
			{ID: "contacts", Chip: chip, Live: 11, Lines: []gpio.Line{phase.key, still, {Name: "Beyond", Offset: noLine, Signal: 3}}},
			{ID: "other", Chip: chip, Live: 12, Lines: []gpio.Line{{Name: "Again", Offset: stillLine, Signal: 4}}},
		}
		fmt.Printf("\nguest phase %q\n", phase.name)
		if err := read(devices, phase.presses, phase.edges); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return nil
}

// read reads the devices while the key is pressed so many times, until it has seen so
// many edges, or for as long as one would take if none is expected.
func read(devices []gpio.Device, presses, edges int) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s := &sink{levels: make(chan struct{}, 100)}
	ended := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	// The first has its lines before the other asks for one of them.
	first, second := gpio.New(devices[:1], log), gpio.New(devices[1:], log)
	var reading sync.WaitGroup
	reading.Go(func() { ended <- first.Run(ctx, s) })
	if err := s.await(1); err != nil { // the level at the start
		return err
	}
	reading.Go(func() { second.Run(ctx, s) })
	for n := range presses {
		fmt.Printf("\nguest press\n")
		if err := s.await(edges / presses); err != nil {
			return fmt.Errorf("after %d presses: %w", n+1, err)
		}
	}
	if edges == 0 {
		time.Sleep(2 * debounce)
	}
	stop()
	reading.Wait()
	return <-ended
}

// sink prints what it takes.
type sink struct{ levels chan struct{} }

// Read is a sample as the host gets it.
type Read struct {
	Name, Value, Quality string
	Time, Received       telemetry.Micros
}

func (s *sink) Deliver(ctx context.Context, b adapters.Batch) error {
	for _, v := range b.Samples {
		name, known := names[v.Signal]
		if !known {
			continue
		}
		text, err := json.Marshal(Read{
			Name: name, Value: v.Value.String(), Quality: v.Quality.String(), Time: v.Time, Received: telemetry.MicrosOf(b.Received),
		})
		if err != nil {
			return err
		}
		fmt.Printf("\nguest read %s\n", text)
		if name == "Key" {
			s.levels <- struct{}{}
		}
	}
	return ctx.Err()
}

func (s *sink) await(levels int) error {
	timeout := time.After(time.Minute)
	for range levels {
		select {
		case <-s.levels:
		case <-timeout:
			return fmt.Errorf("the line didn't change")
		}
	}
	return nil
}
