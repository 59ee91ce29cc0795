package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// Reading is one signal of a device and what was read of it, in words.
type Reading = status.Reading

// ReadDevice reads one device of the configuration once, now: through the gateway
// that runs with it on this machine, if one does, since many meters take one
// client and a serial port takes one program; else by itself. The configuration's file
// names are relative to dir.
func ReadDevice(ctx context.Context, config gatewayconfig.Config, dir, device string, log *slog.Logger) ([]Reading, error) {
	readings, answered, err := askRunning(ctx, config, dir, device)
	if answered {
		log.Info("read by the gateway that is running", "device", device)
		return readings, err
	}
	if readings, live := look(ctx, config, dir, device, log); live {
		return readings, nil
	}
	d := newDevices(config, dir)
	f, err := newField(d, log)
	if err != nil {
		return nil, err
	}
	samples, err := f.ReadOnce(ctx, device)
	if err != nil {
		return nil, err
	}
	return d.readings(samples), nil
}

// lookFor is how long what a device tells of itself is waited for, and lookAtMeterFor how long
// a meter is, whose read-out may take minutes.
const lookFor, lookAtMeterFor = 3 * time.Second, 5 * time.Minute

// look reads a device that is followed by mqtt, or a meter that tells its registers, which have
// no signals before they have told them but those that are written down: these, and what it
// tells in some time; of a meter, at once. live is false of others, and if it can't be reached.
func look(ctx context.Context, config gatewayconfig.Config, dir, device string, log *slog.Logger) (readings []Reading, live bool) {
	at := slices.IndexFunc(config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device && (d.MQTT != nil && d.Open() || d.Meter()) })
	if at < 0 {
		return nil, false
	}
	for _, s := range config.Devices[at].Written() {
		readings = append(readings, Reading{Signal: s.Name, Value: telemetry.Value{}.String(), Unit: s.Unit, Quality: session.Bad(telemetry.Timeout).String()})
	}
	meter := config.Devices[at].Meter()
	patience := lookFor
	if meter {
		patience = lookAtMeterFor
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := WatchDevice(ctx, config, dir, device, log, func(told []Reading) {
		for _, r := range told {
			at := slices.IndexFunc(readings, func(before Reading) bool { return before.Signal == r.Signal })
			switch {
			case r.Signal == telemetry.ChannelLive:
				live = live || r.Value == "true" // before it may say itself that it isn't there
			case at < 0:
				readings = append(readings, r)
			default:
				readings[at] = r
			}
		}
		if meter && slices.ContainsFunc(told, func(r Reading) bool { return r.Signal == telemetry.ChannelLive }) {
			cancel() // it tells all that it has at once, or that it isn't there
		}
	})
	return readings, live && err == nil
}

// readings says in words what was read.
func (d *devices) readings(samples []telemetry.Sample) []Reading {
	readings := make([]Reading, len(samples))
	for i, s := range samples {
		signal := telemetry.Signal{Name: "?"} // the configuration has changed meanwhile
		if at := slices.IndexFunc(d.model.Signals, func(signal telemetry.Signal) bool { return signal.ID == s.Signal }); at >= 0 {
			signal = d.model.Signals[at]
		}
		readings[i] = status.Reading{
			Signal: signal.Name, Value: signal.Show(s.Value), Unit: signal.Unit,
			Quality: s.Quality.String(), Good: s.Quality.Validity() == telemetry.Good,
		}
	}
	return readings
}

// Read implements status.Source.
func (g source) Read(ctx context.Context, device string) ([]Reading, error) {
	if !slices.ContainsFunc(g.live.Load().config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device }) {
		return nil, status.ErrNoDevice
	}
	samples, err := g.field.ReadOnce(ctx, device)
	if err != nil {
		return nil, err
	}
	return g.live.Load().devices.readings(samples), nil
}

// askRunning reports false for answered if no gateway of this configuration runs
// here, as of one that names none, or it doesn't know the device.
func askRunning(ctx context.Context, config gatewayconfig.Config, dir, device string) (readings []Reading, answered bool, err error) {
	if config.Gateway.ID == "" {
		return nil, false, nil
	}
	answer, name, err := question{at: here(config, dir), path: "/devices/" + url.PathEscape(device) + "/read"}.ask(ctx)
	if err != nil {
		return nil, ctx.Err() != nil, err
	}
	defer answer.Body.Close()
	if name != config.Gateway.ID || answer.StatusCode == http.StatusNotFound {
		return nil, false, nil
	}
	err = take(answer, &readings)
	return readings, true, err
}

// WatchDevice reads one device of the configuration until ctx ends, as a gateway
// does, and shows what each poll brings, or what the device says by itself.
func WatchDevice(ctx context.Context, config gatewayconfig.Config, dir, device string, log *slog.Logger, show func([]Reading)) error {
	config.Devices = slices.DeleteFunc(slices.Clone(config.Devices), func(d gatewayconfig.Device) bool { return d.ID != device })
	d := newDevices(config, dir)
	for i, m := range d.mqtt {
		d.mqtt[i] = m.Apart()
	}
	f, err := newField(d, log)
	if err != nil {
		return err
	}
	return f.Run(ctx, watcher{&d, show})
}

// Register implements adapters.Registrar.
func (w watcher) Register(ctx context.Context, device string, found []adapters.Found) ([]telemetry.SignalID, error) {
	signals, d := &w.devices.model.Signals, w.devices.config.Devices[0]
	ids := make([]telemetry.SignalID, len(found))
	for i, f := range found {
		at := slices.IndexFunc(*signals, func(s telemetry.Signal) bool { return s.Name == f.Name })
		if at < 0 {
			at = len(*signals)
			*signals = append(*signals, telemetry.Signal{ID: telemetry.SignalID(at + 1), Device: device, Name: f.Name})
		}
		s := &(*signals)[at]
		ids[i] = s.ID
		if _, written := d.Signal(f.Name); written {
			continue
		}
		s.Unit, s.Kind, s.States = cmp.Or(f.Unit, "1"), f.Kind, f.States
		if f.Follow >= 0 && f.Follow < len(d.Follow) {
			s.Unit = cmp.Or(d.Follow[f.Follow].Unit, s.Unit)
		}
	}
	return ids, ctx.Err()
}

// Known implements adapters.Registrar: nothing is known of before.
func (watcher) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	return nil, nil, nil
}

// watcher is the sink of WatchDevice, of the one device there is.
type watcher struct {
	devices *devices
	show    func([]Reading)
}

// Deliver implements adapters.Sink.
func (w watcher) Deliver(ctx context.Context, b adapters.Batch) error {
	w.show(w.devices.readings(b.Samples))
	return ctx.Err()
}
