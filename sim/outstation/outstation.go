package outstation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
)

// Where the objects are, beside the breaker and the measurements.
const (
	fans   = 1002 // single point
	limit  = 1003 // short floating point, a set point
	tap    = 1010 // step position, 1 to 17
	energy = 1020 // integrated total, kWh
)

// MostPoints is how many measurements there are at most.
const MostPoints = 100_000

// moving is how long the breaker and the tap changer take, in between.
const moving = 300 * time.Millisecond

// Config says what is played.
type Config struct {
	Listen  string        // host:port
	TLS     *tls.Config   // nil: no encryption
	Points  int           // measurements
	Every   time.Duration // how often one in ten of them changes
	Seed    uint64        // the same values for the same seed
	Control bool          // commands are taken
}

// Outstation is a bay by itself: a circuit breaker, a transformer's tap changer and fans, a meter,
// and measurements that wander.
type Outstation struct {
	*Station
	config Config
	log    *slog.Logger
	values []float64
	random *rand.Rand
}

// New makes one and listens, until Run has ended.
func New(c Config, log *slog.Logger) (*Outstation, error) {
	o := &Outstation{config: c, log: log, random: rand.New(rand.NewPCG(c.Seed, 0))}
	points := []controlled.Point{
		{Address: Breaker, Type: asdu.DoublePoint, Value: 2, Group: 1},
		{Address: fans, Type: asdu.SinglePoint, Group: 1},
		{Address: limit, Type: asdu.ShortFloat, Value: 100, Group: 2},
		{Address: tap, Type: asdu.StepPosition, Value: 9, Group: 1},
		{Address: energy, Type: asdu.Totals, Quiet: true, Group: 1},
	}
	for i := range c.Points {
		o.values = append(o.values, 100+100*o.random.Float64())
		points = append(points, controlled.Point{Address: Measured + uint32(i), Type: asdu.ShortFloat, Value: o.values[i], Group: 2})
	}
	var controls []controlled.Control
	if c.Control {
		controls = []controlled.Control{
			{Address: Command + Breaker, Type: asdu.DoubleCommand, Select: true},
			{Address: Command + fans, Type: asdu.SingleCommand},
			{Address: Command + limit, Type: asdu.SetShortFloat},
			{Address: Command + tap, Type: asdu.StepCommand},
		}
	}
	var err error
	o.Station, err = Open(c.Listen, c.TLS, points, controls, o, log)
	return o, err
}

// shown is how many of the measurements are in the snippet.
const shown = 10

// Snippet is how a gateway reads it, and commands it.
func (o *Outstation) Snippet() string {
	var b strings.Builder
	encryption := ""
	if o.config.TLS != nil {
		encryption = ", tls: {ca: ca.crt, cert: gateway.crt, key: gateway.key}"
	}
	fmt.Fprintf(&b, `devices:
  - id: bay-rtu
    iec104: {endpoint: "%s"%s, counters_every: 1m}
    signals:
      - {name: Pos, ioa: %d, type: bool}
      - {name: Fans, ioa: %d, type: bool}
      - {name: Limit, ioa: %d, unit: A}
      - {name: TapPos, ioa: %d, kind: state}
      - {name: TotWh, ioa: %d, unit: W.h, scale: 1000, kind: counter}
`, o.Endpoint(), encryption, Breaker, fans, limit, tap, energy)
	for i := range min(o.config.Points, shown) {
		fmt.Fprintf(&b, "      - {name: A%d, ioa: %d, unit: A, deadband: 0.5}\n", i+1, Measured+i)
	}
	if more := o.config.Points - shown; more > 0 {
		fmt.Fprintf(&b, "      # and %d more, up to ioa %d\n", more, Measured+o.config.Points-1)
	}
	if o.config.Control {
		fmt.Fprintf(&b, `    control: # with gateway: {control: enabled}
      - {signal: Pos, command: {ioa: %d, type: double}}
      - {signal: Fans, command: {ioa: %d, type: single, select: false}}
      - {signal: Limit, command: {ioa: %d, type: float, select: false}, min: 0, max: 1000}
`, Command+Breaker, Command+fans, Command+limit)
	}
	return b.String()
}

// Run serves masters and changes values, until ctx ends.
func (o *Outstation) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- o.Serve(ctx) }()
	tick := time.NewTicker(o.config.Every)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case err := <-served:
			return err
		case at := <-tick.C:
			o.change(turn, at)
		}
	}
}

// change lets one measurement in ten take another value, and the meter count.
func (o *Outstation) change(turn int, at time.Time) {
	for i := turn % 10; i < len(o.values); i += 10 {
		o.values[i] = max(0, o.values[i]+o.random.NormFloat64())
		o.Tell(controlled.Change{Address: Measured + uint32(i), Value: o.values[i], At: at})
	}
	if n := o.Value(energy); n < 1e9 {
		o.Tell(controlled.Change{Address: energy, Value: n + 1, At: at})
	}
}

var errStep = errors.New("there is no such step")

// Select is of controlled.Owner.
func (o *Outstation) Select(_ context.Context, c controlled.Command) error { return o.check(c) }

// Cancel is of controlled.Owner.
func (o *Outstation) Cancel(controlled.Command) {}

func (o *Outstation) check(c controlled.Command) error {
	switch v := c.Object.Value; c.Address - Command {
	case Breaker:
		_, err := Closes(c)
		return err
	case tap:
		_, err := o.step(v)
		return err
	}
	return nil
}

// step is the position that a regulating step leads to: 1 is lower, 2 higher.
func (o *Outstation) step(v float64) (float64, error) {
	to := o.Value(tap) + 2*v - 3
	if v != 1 && v != 2 || to < 1 || to > 17 {
		return 0, errStep
	}
	return to, nil
}

// Execute is of controlled.Owner.
func (o *Outstation) Execute(ctx context.Context, c controlled.Command, accepted func()) error {
	if err := o.check(c); err != nil {
		return err
	}
	accepted()
	object, to := c.Address-Command, c.Object.Value
	told := controlled.Change{Address: object, At: time.Now(), Cause: asdu.ReturnRemote}
	switch object {
	case Breaker:
		told.Value = 0
	case tap:
		var err error
		if to, err = o.step(to); err != nil {
			return err
		}
		told.Value, told.Quality = o.Value(tap), asdu.Transient
	}
	if object == Breaker || object == tap {
		o.Tell(told)
		select {
		case <-time.After(moving):
		case <-ctx.Done(): // it ends where it was going, as a spring does
		}
	}
	told.Value, told.Quality, told.At = to, 0, time.Now()
	o.Tell(told)
	o.log.Info("a command is executed", "object", object, "value", to, "master", c.Master)
	return nil
}

// SetClock is of controlled.Owner. It has the clock of this machine.
func (o *Outstation) SetClock(_ uint16, at time.Time) error {
	o.log.Info("a master tells the time", "ahead", time.Until(at))
	return nil
}
