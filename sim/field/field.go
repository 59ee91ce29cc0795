// Package field is the devices that stand on a grid which is being played, and speak for
// real: meters, bay controllers and transformer monitors, by Modbus TCP, IEC 60870-5-104, OPC UA,
// MQTT and Sparkplug B. What they say is what the grid has at that moment.
package field

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/transformer"
)

// Grid is the present state of a grid, as live.Live has it. It is safe for concurrent
// use.
type Grid interface {
	Snapshot() *grid.Snapshot
	// Now is the time of what the others return, in µs UTC.
	Now() int64
	Point(point int) live.Point
	Transformer(edge int) live.Transformer
	Switch(edge int) live.Switch
	Frequency() float64
	// Changes is what has happened since the change with a number, the number to ask for next,
	// and what is closed when there are more.
	Changes(since uint64) (list []live.Change, next uint64, more <-chan struct{})
	// Speed is how fast time passes.
	Speed() (speed float64, behind time.Duration)
}

// Config says which devices there are, and how they are reached.
type Config struct {
	Grid Grid
	// Edge and Seed decide which service points are metered, by what meters are powered,
	// and which are silent: the same as in the evidence of the scenario.
	Edge evidence.Config
	Seed uint64

	// Listen is the first address of Modbus TCP, host:port; further ones have the ports
	// after it. With port 0, each is any that is free.
	Listen string
	// UnitsPerPort is how many units there are behind an address at most; 1 to 247. 0 is
	// 32, as many as a line of RS-485 takes.
	UnitsPerPort int
	// Products are those of the meters of three phases, by their shares.
	Products []Share
	// Refused has an address answer for a meter without supply, with exception 11, as a
	// gateway to a serial line does. Otherwise nobody answers.
	Refused bool
	// Operate opens or closes the switch of a bay controller. nil: controllers take no
	// commands.
	Operate func(id string, closed bool) error

	// IEC104 is the first address of the outstations of IEC 60870-5-104 that telemetered switches
	// in substations have, host:port; further ones have the ports after it. With port 0, each is
	// any that is free. "": they have bay controllers of Modbus, as others do.
	IEC104 string

	// Broker is that of MQTT, for the meters of these shares of the transformers. Sparkplug
	// makes an edge node of a transformer's meters.
	Broker                    string
	MQTTShare, SparkplugShare float64
	// Every is how often MQTT and Sparkplug publish; 1s if it is 0.
	Every time.Duration

	// OPCUA is where the transformers' monitors listen, host:port; "": there are none.
	OPCUA string
}

// Share is a product, and its weight beside others.
type Share struct {
	Product string
	Weight  float64
}

// DefaultProducts are what meters are if nothing is said.
func DefaultProducts() []Share {
	return []Share{{"eastron/sdm630", 4}, {"abb/b23", 2}, {"carlo-gavazzi/em340", 2}, {"schneider/iem3000", 1}, {"siemens/pac2200", 1}}
}

// Field is the devices of a grid. The zero value has none.
type Field struct {
	config   Config
	devices  []Device
	servers  []*devices.Server
	counting map[string]*devices.Meter // those of transformers, by their ids
	monitors *transformer.Server
	stations []station
	bays     []*bayStation
	since    uint64 // the change after which the bays were placed
	log      *slog.Logger
}

// New places the devices and opens their ports, which Run closes.
func New(c Config, log *slog.Logger) (*Field, error) {
	c.fill()
	if err := c.Check(); err != nil {
		return nil, err
	}
	f := &Field{config: c, log: log}
	if err := f.place(); err != nil {
		return nil, err
	}
	if err := errors.Join(f.listen(), f.outstations(), f.monitor()); err != nil { // one busy address doesn't hide the other
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

const lastUnit = 247

func (c *Config) fill() {
	if c.UnitsPerPort == 0 {
		c.UnitsPerPort = 32
	}
	if len(c.Products) == 0 {
		c.Products = DefaultProducts()
	}
	if c.Every == 0 {
		c.Every = time.Second
	}
}

// Check says what is wrong with the configuration, if something is.
func (c Config) Check() error {
	c.fill()
	if c.UnitsPerPort < 1 || c.UnitsPerPort > lastUnit {
		return fmt.Errorf("%d units behind an address, expected 1 to %d", c.UnitsPerPort, lastUnit)
	}
	if err := checkAddress(c.Listen, "127.0.0.1:15020"); err != nil {
		return err
	}
	if err := checkAddress(c.IEC104, "127.0.0.1:2404"); err != nil && c.IEC104 != "" {
		return err
	}
	for _, s := range c.Products {
		if !(s.Weight > 0) {
			return fmt.Errorf("the share %v of %s is not above 0", s.Weight, s.Product)
		}
		if _, err := devices.LoadProduct(s.Product); err != nil {
			return err
		}
	}
	if !(c.MQTTShare >= 0 && c.SparkplugShare >= 0 && c.MQTTShare+c.SparkplugShare <= 1) {
		return fmt.Errorf("the shares %v of MQTT and %v of Sparkplug are not from 0 to 1 together", c.MQTTShare, c.SparkplugShare)
	}
	if c.MQTTShare+c.SparkplugShare > 0 && c.Broker == "" {
		return errors.New("MQTT and Sparkplug need a broker")
	}
	if _, _, err := net.SplitHostPort(c.OPCUA); err != nil && c.OPCUA != "" {
		return fmt.Errorf("%q is not host:port, like 127.0.0.1:4840", c.OPCUA)
	}
	return nil
}

func checkAddress(address, like string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port, like %s", address, like)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port from 0 to 65535", port)
	}
	return nil
}

// listen opens the ports of Modbus.
func (f *Field) listen() error {
	units, err := f.units()
	if err != nil {
		return err
	}
	for i, behind := range units {
		address, err := after(f.config.Listen, i)
		if err != nil {
			return err
		}
		server, err := devices.NewBus(behind, f.config.Seed).Listen(address, f.log)
		if err != nil {
			return err
		}
		server.Refuse(f.config.Refused)
		f.servers = append(f.servers, server)
	}
	for i := range f.devices {
		if d := &f.devices[i]; d.By == ByModbus {
			d.Endpoint = "tcp://" + f.servers[d.port].Addr().String()
		}
	}
	return nil
}

// after is the address some ports after the first one; with port 0 it is any that is free.
func after(first string, ports int) (string, error) {
	host, text, _ := net.SplitHostPort(first)
	port, _ := strconv.Atoi(text)
	if port != 0 {
		port += ports
	}
	if port > 1<<16-1 {
		return "", fmt.Errorf("the addresses from %s on go beyond the last port", first)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// Devices are all of them. The list must not be changed.
func (f *Field) Devices() []Device { return f.devices }

// Ports is how many addresses of Modbus there are.
func (f *Field) Ports() int { return len(f.servers) }

// Close closes what New has opened, if Run isn't called.
func (f *Field) Close() error {
	var errs []error
	for _, s := range f.servers {
		errs = append(errs, s.Close())
	}
	for _, b := range f.bays {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// Run lets the devices speak until ctx ends, or one of their servers or publishers fails.
func (f *Field) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running sync.WaitGroup
	for _, s := range f.servers {
		running.Go(func() { s.Serve(ctx) })
	}
	run := func(what func(context.Context) error) {
		running.Go(func() {
			if err := what(ctx); err != nil && ctx.Err() == nil {
				fail(err)
			}
		})
	}
	if f.monitors != nil {
		run(f.monitors.Run)
	}
	if len(f.bays) > 0 {
		run(f.tell)
	}
	for _, p := range f.publishers() {
		run(p)
	}
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// ParseShares reads products and their weights, as eastron/sdm630=4,abb/b23=1; without a
// weight it is 1.
func ParseShares(text string) (list []Share, err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, weight, given := strings.Cut(strings.TrimSpace(part), "=")
		s := Share{Product: name, Weight: 1}
		if given {
			if s.Weight, err = strconv.ParseFloat(weight, 64); err != nil || !(s.Weight > 0 && s.Weight <= 1e6) {
				return nil, fmt.Errorf("%q is no share above 0, expected one like eastron/sdm630=4", part)
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// Answers is how often each transformer's meter has answered a read of register 0x1000,
// by the devices' ids. None of them is ever without supply.
func (f *Field) Answers() map[string]uint32 {
	answers := map[string]uint32{}
	for id, m := range f.counting {
		answers[id] = m.Answers()
	}
	return answers
}

// First is the first address of Modbus TCP.
func (f *Field) First() string { return f.servers[0].Addr().String() }
