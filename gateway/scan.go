package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/profile"
)

// Scan finds out what answers behind an endpoint: through the gateway that runs on
// this machine, if that reads devices from there, since many meters take one client
// and a serial port takes one program; else by itself. A gateway is looked for where
// the configuration says that it listens, or by default does; dir is what its file names
// are relative to. What was found before an error is in the result.
func Scan(ctx context.Context, config gatewayconfig.Config, dir string, r discovery.Request, show func(discovery.Progress)) (discovery.Endpoint, error) {
	found := discovery.Endpoint{Endpoint: r.Endpoint, Units: []discovery.Unit{}}
	take := func(p discovery.Progress) {
		found.Take(p)
		show(p)
	}
	e, units, err := r.Parse()
	if err != nil {
		return found, err
	}
	found.Of = len(units)
	name, err := here(config, dir).scan(ctx, r, take)
	if name != "" || ctx.Err() != nil {
		found.Through = name
		return found, err
	}
	p := modbus.NewProber(ctx, e, time.Duration(r.Timeout), time.Duration(r.Pause))
	defer p.Close()
	s, err := newScanner(config, e)
	if err != nil {
		return found, err
	}
	return found, s.Scan(ctx, p, units, take)
}

// profiles are those of Modbus that come with Busbar, read once somebody scans.
var profiles = sync.OnceValues(func() ([]profile.Profile, error) { return firmware.Profiles().LoadBy(profile.Modbus) })

func newScanner(config gatewayconfig.Config, e modbus.Endpoint) (discovery.Scanner, error) {
	known, err := profiles()
	if err != nil {
		return discovery.Scanner{}, err
	}
	configured := map[uint8]string{}
	for _, d := range config.Devices {
		if d.Modbus == nil {
			continue
		}
		if at, err := modbus.ParseEndpoint(d.Modbus.Endpoint); err == nil && at.Address == e.Address && configured[d.Modbus.Unit] == "" {
			configured[d.Modbus.Unit] = d.ID
		}
	}
	return discovery.Scanner{Profiles: known, Device: func(unit uint8) string { return configured[unit] }}, nil
}

// Scan implements status.Source.
func (g source) Scan(ctx context.Context, r discovery.Request, show func(discovery.Progress)) error {
	e, units, err := r.Parse()
	if err != nil {
		return err
	}
	p, err := g.field.modbus.Prober(e, time.Duration(r.Timeout), time.Duration(r.Pause))
	if errors.Is(err, modbus.ErrElsewhere) {
		return status.ErrNoEndpoint
	}
	if err != nil {
		return err
	}
	s, err := newScanner(g.live.Load().config, e)
	if err != nil {
		return err
	}
	// One takes half of the endpoint's time, and several would leave too little for polls.
	if _, busy := g.scanning.LoadOrStore(e.Address, true); busy {
		return fmt.Errorf("somebody else scans %s at present", e)
	}
	defer g.scanning.Delete(e.Address)
	show(discovery.Progress{Of: len(units)}) // whoever asked knows by that that it is being done
	return s.Scan(ctx, p, units, show)
}

// beginsWithin is how soon a gateway says that it scans. What doesn't isn't one.
var beginsWithin = 10 * time.Second

// scan names the gateway that did the scan; "" if there is none, or it doesn't read from
// that endpoint.
func (d Door) scan(ctx context.Context, r discovery.Request, show func(discovery.Progress)) (name string, err error) {
	answer, name, err := question{at: d, path: "/scan", body: r, begins: beginsWithin}.ask(ctx)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	switch {
	case name == "" || answer.StatusCode == http.StatusNotFound:
		return "", nil
	case answer.StatusCode != http.StatusOK:
		return name, take(answer, nil)
	}
	for lines := json.NewDecoder(answer.Body); ; {
		var line status.ScanLine
		if err := lines.Decode(&line); err != nil {
			return name, fmt.Errorf("the gateway that is running has broken off: %w", err)
		}
		switch {
		case line.Progress != nil:
			show(*line.Progress)
		case line.Error != "":
			return name, said(line.Error)
		default:
			return name, nil
		}
	}
}
