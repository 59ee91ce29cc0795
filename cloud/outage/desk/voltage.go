package desk

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// deadBelow is the part of the nominal voltage below which there is none (EN 50160).
const deadBelow = 0.05

// CurrentFor is how long a value says how it is now. Most meters are read each quarter-hour or
// more often.
const CurrentFor = telemetry.Micros(time.Hour / time.Microsecond)

// IsCurrent reports whether the newest sample of a series is good, and says how it is now.
func IsCurrent(s store.Series, now telemetry.Micros) bool {
	return s.Latest != nil && s.Latest.Quality.Validity() == telemetry.Good && now-s.Latest.Time <= CurrentFor
}

// VoltageOf is what the voltages that are measured of an asset say at a time, whatever the
// context shows; "": none is measured.
func VoltageOf(ctx context.Context, s *store.Store, n *network.Network, asset string, now telemetry.Micros) (network.Supply, error) {
	heard, err := heardGateways(ctx, s)
	if err != nil {
		return "", err
	}
	return voltageOf(ctx, s, asset, n.NominalVoltages(asset), heard, now)
}

func voltageOf(ctx context.Context, s *store.Store, asset string, nominals []grid.Voltage, heard map[string]bool, now telemetry.Micros) (network.Supply, error) {
	list, err := s.VoltagesOf(ctx, asset)
	if err != nil {
		return "", err
	}
	nominal := 0.0
	if len(nominals) > 0 {
		nominal = float64(nominals[0])
	}
	return voltageSays(list, nominal, heard, now), nil
}

// measureNodes adds what the voltage at sources, and at busbars, says. A busbar of which it
// isn't known has what supplies it say. A node is dead if its own voltage says so, or if that
// isn't known and all of its sources are.
func measureNodes(ctx context.Context, s *store.Store, n *network.Network, o network.Operated, busbars []int, heard map[string]bool) error {
	now := Now()
	bySource := map[int]map[network.Supply]int{}
	own := map[int]network.Supply{}
	for i, node := range n.Sources() {
		of := n.SourceAt(i)
		nominals := n.NominalVoltages(of.ID)
		is, err := voltageOf(ctx, s, of.ID, nominals, heard, now)
		if err != nil {
			return err
		}
		if bySource[node] == nil {
			bySource[node] = map[network.Supply]int{}
			// Of its node, the model may not say it.
			if own[node], err = voltageOf(ctx, s, of.Node, append(n.NominalVoltages(of.Node), nominals...), heard, now); err != nil {
				return err
			}
		}
		bySource[node][is]++
	}
	for node, count := range bySource {
		dead := count[network.Dead] > 0
		unsure := count[network.Unknown] > 0
		unsaid := count[""] > 0
		switch {
		case own[node] == network.Dead, own[node] != network.Live && dead && !unsure && !unsaid && count[network.Live] == 0:
			o.Nodes[node] = network.Dead
		case own[node] == network.Live, count[network.Live] > 0:
		case own[node] == network.Unknown, dead, unsure:
			if o.Nodes[node] != network.Dead {
				o.Nodes[node] = network.Unknown
			}
		}
	}
	for _, node := range busbars {
		is, err := voltageOf(ctx, s, n.NodeID(node), n.NominalVoltages(n.NodeID(node)), heard, now)
		if err != nil {
			return err
		}
		if is == network.Dead {
			o.Nodes[node] = is
		}
	}
	return nil
}

// voltageSays is what the newest voltages of a node say; "": none is measured. Without a nominal
// voltage it isn't known what they mean.
func voltageSays(list []store.Series, nominal float64, heard map[string]bool, now telemetry.Micros) network.Supply {
	if len(list) == 0 {
		return ""
	}
	is := network.Unknown
	for _, s := range list {
		scale := map[string]float64{"V": 1, "kV": 1000}[s.Unit]
		if !IsCurrent(s, now) || !heard[s.Gateway] || scale == 0 || nominal == 0 {
			continue
		}
		v, ok := s.Latest.Value.Float()
		if !ok {
			continue
		}
		of := nominal
		if strings.HasPrefix(s.Name, "PhV.") {
			of /= math.Sqrt(3)
		}
		if v*scale > deadBelow*of {
			return network.Live
		}
		is = network.Dead
	}
	return is
}
