package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/gpio"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/nut"
	"github.com/busbar/busbar/telemetry"
)

// field is the adapters that read the devices of a configuration, one a protocol.
type field struct {
	modbus *modbus.Adapter
	nut    *nut.Adapter
	gpio   *gpio.Adapter
}

func newField(d devices, log *slog.Logger) (*field, error) {
	m, err := modbus.New(modbus.Config{Devices: d.modbus, Logger: log})
	if err != nil {
		return nil, err
	}
	return &field{modbus: m, nut: nut.New(d.nut, log), gpio: gpio.New(d.gpio, log)}, nil
}

// Run implements adapters.Adapter.
func (f *field) Run(ctx context.Context, sink adapters.Sink) error {
	all := []adapters.Adapter{f.modbus, f.nut, f.gpio}
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, a := range all {
		running.Go(func() { errs[i] = a.Run(ctx, sink) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// ReadOnce implements adapters.Adapter.
func (f *field) ReadOnce(ctx context.Context, device string) ([]telemetry.Sample, error) {
	switch {
	case f.nut.Has(device):
		return f.nut.ReadOnce(ctx, device)
	case f.gpio.Has(device):
		return f.gpio.ReadOnce(ctx, device)
	}
	return f.modbus.ReadOnce(ctx, device)
}

// change has other devices read from now on: see modbus.Adapter.Change. On an error
// nothing has changed and swap isn't called.
func (f *field) change(d devices, swap func()) error {
	return f.modbus.Change(d.modbus, func() {
		f.nut.Change(d.nut, func() { f.gpio.Change(d.gpio, swap) })
	})
}

// last is what the last poll of a device brought; nothing, if it isn't read.
func (f *field) last(ctx context.Context, device string) adapters.Last {
	switch {
	case f.nut.Has(device):
		return f.nut.Last(device)
	case f.gpio.Has(device):
		return f.gpio.Last(device)
	}
	return f.modbus.Last(ctx, device)
}

// stats is what reading the devices has come to.
func (f *field) stats() []adapters.DeviceStats {
	list := f.modbus.Stats().Devices
	list = append(list, f.nut.Stats()...)
	return append(list, f.gpio.Stats()...)
}
