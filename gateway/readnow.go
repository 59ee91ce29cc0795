package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

var errNoDevice = errors.New("there is no such device")

// reading is what was read of a device.
type reading struct {
	asset  string
	began  telemetry.Micros
	values []telemetry.Input
}

// readNow reads a device between its polls.
func (g *Gateway) readNow(ctx context.Context, device string) (r reading, err error) {
	if !slices.ContainsFunc(g.live.Load().config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device }) {
		return r, errNoDevice
	}
	r.began = g.clock.Now()
	samples, err := g.field.ReadOnce(ctx, device)
	if err != nil {
		return r, err
	}
	signals := g.live.Load().devices.model.Signals
	for _, s := range samples {
		at := slices.IndexFunc(signals, func(signal telemetry.Signal) bool { return signal.ID == s.Signal })
		if at < 0 {
			continue // the configuration has changed meanwhile
		}
		signal := signals[at]
		in := telemetry.Input{Signal: s.Signal, Name: signal.Name, Device: device, Unit: signal.Unit, State: signal.InWords(s.Value), Quality: s.Quality.String(), Time: s.Time}
		if v, ok := s.Value.Float(); ok {
			in.Value = &v
		}
		r.asset = cmp.Or(r.asset, signal.Asset)
		r.values = append(r.values, in)
	}
	slices.SortStableFunc(r.values, func(a, b telemetry.Input) int { return cmp.Compare(rank(a), rank(b)) })
	r.values = r.values[:min(len(r.values), telemetry.MostRead)]
	return r, nil
}

// rank is which values an answer has room for first.
func rank(in telemetry.Input) int {
	for i, prefix := range []string{"PhV.", "PPV.", "A.", "Hz", "TotW"} {
		if strings.HasPrefix(in.Name, prefix) {
			return i
		}
	}
	return 9
}
