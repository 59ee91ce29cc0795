package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// found is the signals that devices have told of themselves. They are kept over
// restarts, so that rules about them go on before the devices have told them again.
type found struct {
	file string
	log  *slog.Logger
	held chan struct{} // by who changes the configuration that runs, or these

	devices map[string]foundOn // by device; guarded by held once the gateway runs
}

// foundOn is what one device has told, as it was configured then.
type foundOn struct {
	Configured string           `json:"configured"` // gatewayconfig.Device.Fingerprint
	Signals    []adapters.Found `json:"signals"`
}

// foundName is their file in the buffer's directory.
const foundName = "found-signals.json"

func newFound(file string, log *slog.Logger) *found {
	f := &found{file: file, log: log, held: make(chan struct{}, 1), devices: map[string]foundOn{}}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &f.devices)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("which signals devices have told of themselves can't be read; rules about them wait until they tell them again", "file", file, "error", err)
		f.devices = map[string]foundOn{}
	}
	return f
}

// lock has one at a time change what runs; it fails when ctx ends.
func (f *found) lock(ctx context.Context) error {
	select {
	case f.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *found) unlock() { <-f.held }

// expand is a configuration with what its devices have told, as far as they are still
// configured as they were then.
func (f *found) expand(config gatewayconfig.Config) gatewayconfig.Config {
	return config.With(func(d gatewayconfig.Device) []adapters.Found {
		if on, known := f.devices[d.ID]; known && on.Configured == d.Fingerprint() {
			return on.Signals
		}
		return nil
	})
}

// add takes up what a device has told anew. What devices told that aren't configured as
// they were is forgotten.
func (f *found) add(config gatewayconfig.Config, device string, signals []adapters.Found) {
	next := map[string]foundOn{}
	for _, d := range config.Devices {
		on, known := f.devices[d.ID]
		now := d.Fingerprint()
		switch {
		case d.ID == device && known && on.Configured == now:
			changed := map[string]bool{}
			for _, s := range signals {
				changed[s.Name] = true
			}
			stay := slices.DeleteFunc(slices.Clone(on.Signals), func(s adapters.Found) bool { return changed[s.Name] })
			next[d.ID] = foundOn{now, append(stay, signals...)}
		case d.ID == device:
			next[d.ID] = foundOn{now, signals}
		case known && on.Configured == now:
			next[d.ID] = on
		}
	}
	f.devices = next
}

// mostFound bounds what one device tells of itself.
const mostFound = 50_000

// fresh are those of what a device has told that aren't known as they are.
func (f *found) fresh(running *live, device string, told []adapters.Found) []adapters.Found {
	at := slices.IndexFunc(running.config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device })
	if at < 0 {
		return nil
	}
	d := running.config.Devices[at]
	written, known := running.devices.writtenOn(device), map[string]adapters.Found{}
	if on := f.devices[device]; on.Configured == d.Fingerprint() {
		for _, s := range on.Signals {
			known[s.Name] = s
		}
	}
	var fresh []adapters.Found
	place := map[string]int{} // in fresh, by name: the last of a name counts
	refused := 0
	for _, s := range told {
		was, is := known[s.Name]
		switch {
		case written[s.Name], is && reflect.DeepEqual(was, s):
		case !is && len(known) >= mostFound:
			refused++
		default:
			known[s.Name] = s
			if at, twice := place[s.Name]; twice {
				fresh[at] = s
				continue
			}
			place[s.Name] = len(fresh)
			fresh = append(fresh, s)
		}
	}
	if refused > 0 {
		f.log.Warn("device tells of too many signals; the rest isn't read", "device", device, "most", mostFound, "left_out", refused)
	}
	return fresh
}

// save writes them down. Without that, they are found again after a restart.
func (f *found) save() {
	text, err := json.Marshal(f.devices)
	if err == nil {
		err = configfile.Replace(f.file, text, 0o600)
	}
	if err != nil {
		f.log.Error("which signals devices have told of themselves can't be written down", "file", f.file, "error", err)
	}
}

var _, _ adapters.Registrar = inlet{}, watcher{}

// inlet is what the adapters deliver to and register with.
type inlet struct {
	adapters.Sink
	gateway *Gateway
}

// Register implements adapters.Registrar.
func (i inlet) Register(ctx context.Context, device string, told []adapters.Found) ([]telemetry.SignalID, error) {
	return i.gateway.register(ctx, device, told)
}

// Known implements adapters.Registrar.
func (i inlet) Known(ctx context.Context, device string) ([]adapters.Found, []telemetry.SignalID, error) {
	return i.gateway.known(ctx, device)
}

func (g *Gateway) known(ctx context.Context, device string) ([]adapters.Found, []telemetry.SignalID, error) {
	if err := g.found.lock(ctx); err != nil {
		return nil, nil, err
	}
	defer g.found.unlock()
	running := g.live.Load()
	at := slices.IndexFunc(running.config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device })
	on := g.found.devices[device]
	if at < 0 || on.Configured != running.config.Devices[at].Fingerprint() {
		return nil, nil, nil
	}
	return on.Signals, running.devices.idsOf(device, on.Signals), nil
}

func (g *Gateway) register(ctx context.Context, device string, told []adapters.Found) ([]telemetry.SignalID, error) {
	if err := g.found.lock(ctx); err != nil {
		return nil, err
	}
	defer g.found.unlock()
	running := g.live.Load()
	if fresh := g.found.fresh(running, device, told); len(fresh) > 0 {
		before := g.found.devices
		g.found.add(running.config, device, fresh)
		if err := g.extend(ctx, running.setting()); err != nil {
			g.found.devices = before
			return nil, err
		}
		g.found.save()
		g.log.Info("device has told signals of itself", "device", device, "signals", len(fresh))
	}
	return g.live.Load().devices.idsOf(device, told), nil
}

// extend has the gateway go on with what runs and what has been found since.
func (g *Gateway) extend(ctx context.Context, to setting) error {
	var err error
	if to.devices, err = g.define(to.config); err != nil {
		g.log.Error("new signals can't be written down; until they are, samples are kept in memory", "error", err)
	}
	engine, err := g.compile(to)
	if err != nil {
		return err
	}
	g.exchange(ctx, to, engine)
	return ctx.Err()
}
