package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/sim/simbench"
	"github.com/busbar/busbar/sim/transformer"
)

type opcuaCommand struct {
	Listen       string  `help:"The address of the server." default:"127.0.0.1:4840" placeholder:"HOST:PORT"`
	Transformers int     `help:"How many there are: T1, T2, …" default:"1"`
	Load         string  `help:"The SimBench load profile that they carry, each a day later than the one before." default:"H0-A"`
	Speed        float64 `help:"How many seconds of load profile pass in a second." default:"1"`
}

func (opcuaCommand) Help() string {
	return `Each transformer has Load (parts of the rated one), Ambient, TopOil and HotSpot (°C, by IEC 60076-7), Tap, Fans and Alarm. Nothing is encrypted, and everybody may read. It prints the configuration by which a gateway reads it.

Examples:
  busbar-sim opcua
  busbar-sim opcua --transformers 100 --speed 600`
}

// mostTransformers is more than anybody wants to watch.
const mostTransformers = 10000

func (c opcuaCommand) Run(ctx context.Context) error {
	wrong := func(format string, args ...any) error { return program.Usage{Err: fmt.Errorf(format, args...)} }
	profile, err := simbench.Load(c.Load)
	switch {
	case err != nil:
		return wrong("--load: %w", err)
	case !(c.Speed > 0 && c.Speed <= 31*24*60):
		return wrong("--speed: %v is not above 0 and up to %d", c.Speed, 31*24*60)
	case c.Transformers < 1 || c.Transformers > mostTransformers:
		return wrong("--transformers: %d, expected 1 to %d", c.Transformers, mostTransformers)
	}
	log.SetOutput(io.Discard) // where gopcua tells about itself
	s, err := transformer.New(transformer.Config{Listen: c.Listen, Transformers: c.Transformers, Speed: c.Speed,
		Load: func(since time.Duration, n int) float64 {
			return profile.At((since + time.Duration(n)*24*time.Hour).Seconds())
		}})
	if err != nil {
		return wrong("--listen: %w", err)
	}
	who := "T1"
	if c.Transformers > 1 {
		who = fmt.Sprintf("T1 to T%d", c.Transformers)
	}
	fmt.Printf("%s on %s\n\nFor gateway.yaml:\n\n%s\n", who, s.URL(), s.Snippet())
	return program.UntilStopped(ctx, s.Run(ctx))
}
