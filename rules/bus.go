package rules

import (
	"math"

	"github.com/busbar/busbar/telemetry"
)

// Signals of the gateway, which is a device of the model by its own id.
const (
	ClockState = "ClkSt" // of the clock: 0 unset, 1 free-running, 2 synchronised
	Mains      = "Mains" // 1: the gateway's own supply is there
)

// onBus binds a number about the devices that are reached by the target's bus: how
// many there are, or how many of them answer. It is unknown until each has been asked.
func (s *scope) onBus(name string) operand {
	var live []int32
	for _, id := range s.buses[s.target.device] {
		for _, signal := range s.signals(target{device: id})[telemetry.ChannelLive] {
			slot := s.slot(signal)
			s.read(slot)
			live = append(live, slot)
		}
	}
	if name == "devices" {
		return constant(float64(len(live)), "1")
	}
	return operand{unit: "1", number: func(in *inputs) float64 {
		answer := 0.0
		for _, slot := range live {
			v := in.number(slot)
			if v != v {
				return math.NaN()
			}
			if v != 0 {
				answer++
			}
		}
		return answer
	}}
}

// mainsLost binds whether the gateway's own supply is away: false if nothing watches it.
func (s *scope) mainsLost() operand {
	for _, signal := range s.signals(target{device: s.gateway})[Mains] {
		slot := s.slot(signal)
		s.read(slot)
		return operand{condition: compare("==", func(in *inputs) float64 { return in.number(slot) }, constant(0, "").number)}
	}
	return operand{condition: func(*inputs) truth { return no }}
}
