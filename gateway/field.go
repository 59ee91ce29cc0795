package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/iec104"
	"github.com/busbar/busbar/adapters/meter"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/adapters/nut"
	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/adapters/sparkplug"
	"github.com/busbar/busbar/telemetry"
)

// field is the adapters that read the devices of a configuration, one a protocol.
type field struct {
	modbus  modbusReader
	others  []changer
	readers []reader // all of them
}

// reader is the adapter of one protocol.
type reader interface {
	adapters.Adapter
	// Has reports whether the device is one of its own.
	Has(device string) bool
	// Last is what the last poll of a device brought; nothing, if it isn't read.
	Last(ctx context.Context, device string) adapters.Last
	// AwaitRunning returns true when devices are read, or false when ctx ends.
	AwaitRunning(ctx context.Context) bool

	stats() []adapters.DeviceStats
	// controller is what operates its devices, and capturer what listens to their links; nil
	// if nothing does.
	controller() adapters.Controller
	capturer() adapters.Capturer
}

// changer is a reader that always takes other devices.
type changer interface {
	reader
	// change has it read its devices of d from now on, and calls swap in between; see
	// session.Adapter.Change.
	change(d devices, swap func())
}

// newField is the adapters of the devices. A protocol is one line here.
func newField(d devices, log *slog.Logger) (*field, error) {
	m, err := modbus.New(modbus.Config{Devices: d.modbus, Logger: log})
	if err != nil {
		return nil, err
	}
	f := &field{modbus: modbusReader{m}, others: []changer{
		sessions[nut.Device]{nut.New(d.nut, log), func(d devices) []nut.Device { return d.nut }},
		sessions[gpio.Device]{gpio.New(d.gpio, log), func(d devices) []gpio.Device { return d.gpio }},
		sessions[opcua.Device]{opcua.New(d.opcua, log), func(d devices) []opcua.Device { return d.opcua }},
		sessions[mqtt.Device]{mqtt.New(d.mqtt, log), func(d devices) []mqtt.Device { return d.mqtt }},
		sessions[iec104.Device]{iec104.New(d.iec104, log), func(d devices) []iec104.Device { return d.iec104 }},
		sessions[meter.Device]{meter.New(d.meters, log), func(d devices) []meter.Device { return d.meters }},
		sessions[sparkplug.Device]{sparkplug.New(d.sparkplug, log), func(d devices) []sparkplug.Device { return d.sparkplug }},
	}}
	f.readers = []reader{f.modbus}
	for _, r := range f.others {
		f.readers = append(f.readers, r)
	}
	return f, nil
}

type modbusReader struct{ *modbus.Adapter }

func (r modbusReader) stats() []adapters.DeviceStats { return r.Stats().Devices }

func (r modbusReader) controller() adapters.Controller { return r.Adapter }

func (r modbusReader) capturer() adapters.Capturer { return nil }

// sessions is the reader of a protocol whose devices have a connection of their own each.
type sessions[D session.Device] struct {
	sessionAdapter[D]
	of func(devices) []D
}

// sessionAdapter is a session.Adapter, or what is made of one.
type sessionAdapter[D session.Device] interface {
	adapters.Adapter
	Has(device string) bool
	Last(ctx context.Context, device string) adapters.Last
	AwaitRunning(ctx context.Context) bool
	Stats() []adapters.DeviceStats
	Change(devices []D, swap func())
}

func (r sessions[D]) stats() []adapters.DeviceStats { return r.Stats() }

func (r sessions[D]) controller() adapters.Controller {
	c, _ := r.sessionAdapter.(adapters.Controller)
	return c
}

func (r sessions[D]) capturer() adapters.Capturer {
	c, _ := r.sessionAdapter.(adapters.Capturer)
	return c
}

func (r sessions[D]) change(d devices, swap func()) { r.Change(r.of(d), swap) }

// Run implements adapters.Adapter.
func (f *field) Run(ctx context.Context, sink adapters.Sink) error {
	errs := make([]error, len(f.readers))
	var running sync.WaitGroup
	for i, r := range f.readers {
		running.Go(func() { errs[i] = r.Run(ctx, sink) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// awaitRunning returns true when the devices of all protocols are read, or false when ctx
// ends.
func (f *field) awaitRunning(ctx context.Context) bool {
	for _, r := range f.readers {
		if !r.AwaitRunning(ctx) {
			return false
		}
	}
	return true
}

// reader is the one that reads a device; nil if there is no such device.
func (f *field) reader(device string) reader {
	for _, r := range f.readers {
		if r.Has(device) {
			return r
		}
	}
	return nil
}

// ReadOnce implements adapters.Adapter.
func (f *field) ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error) {
	if r := f.reader(device); r != nil {
		return r.ReadOnce(ctx, device)
	}
	return nil, fmt.Errorf("gateway: there is no device %q", device)
}

// change has other devices read from now on: see modbus.Adapter.Change. On an error
// nothing has changed and swap isn't called.
func (f *field) change(d devices, swap func()) error {
	for _, r := range f.others {
		then := swap
		swap = func() { r.change(d, then) }
	}
	return f.modbus.Change(d.modbus, swap)
}

// last is what the last poll of a device brought; nothing, if it isn't read.
func (f *field) last(ctx context.Context, device string) adapters.Last {
	if r := f.reader(device); r != nil {
		return r.Last(ctx, device)
	}
	return adapters.Last{}
}

// stats is what reading the devices has come to.
func (f *field) stats() (list []adapters.DeviceStats) {
	for _, r := range f.readers {
		list = append(list, r.stats()...)
	}
	return list
}

var _ adapters.Controller = (*field)(nil)

// Select implements adapters.Controller.
func (f *field) Select(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	controller, err := f.controller(c.Device)
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed}, err
	}
	return controller.Select(ctx, c)
}

// Operate implements adapters.Controller.
func (f *field) Operate(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	controller, err := f.controller(c.Device)
	if err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed}, err
	}
	return controller.Operate(ctx, c)
}

// controller is what operates a device.
func (f *field) controller(device string) (adapters.Controller, error) {
	r := f.reader(device)
	if r == nil {
		return nil, fmt.Errorf("gateway: there is no device %q", device)
	}
	if c := r.controller(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("gateway: nothing can be written to device %s by its protocol", device)
}
