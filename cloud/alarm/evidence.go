package alarm

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// noteEvidence keeps what an event says of supply, in the transaction that takes it. What
// is taken again later says nothing of now.
func noteEvidence(t *store.Tx, e event) error {
	if e.aside != 0 {
		return nil
	}
	nominal, err := nominalOf(t, e)
	if err != nil {
		return err
	}
	list := evidenceOf(e.Event, e.record.Gateway, nominal)
	if len(list) == 0 {
		return nil
	}
	if known, err := t.HasGrid(); err != nil || !known {
		return err // nothing can be concluded from it
	}
	for _, v := range list {
		v.Arrival = int64(telemetry.MicrosOf(time.Now()))
		v.Unsynchronised = e.Clock != nil
		if v.Source == 0 {
			v.Source = int64(e.Time)
		}
		if v.Device != "" && v.Asset == "" && v.Switch == "" && e.Kind == telemetry.CommandAnswered {
			if err := t.QueryRow(`SELECT COALESCE(MAX(s.asset), '') FROM series s JOIN grid_asset g ON g.id = s.asset WHERE s.gateway = ? AND s.device = ?`,
				[]any{v.Gateway, v.Device}, &v.Asset); err != nil {
				return err
			}
			if v.Asset == "" {
				continue // it measures nothing that the network has
			}
		}
		if err := evidence.Note(t, v); err != nil {
			return err
		}
	}
	return nil
}

// nominalOf is the nominal voltage between a phase and neutral, in V, of what a device
// measures that was read now; 0 if the network doesn't say it. A transformer has two.
func nominalOf(t *store.Tx, e event) (volts float64, err error) {
	a := e.Answer
	if e.Kind != telemetry.CommandAnswered || a.Kind != string(record.Read) {
		return 0, nil
	}
	err = t.QueryRow(`SELECT COALESCE(MAX(voltage), 0) FROM grid_asset WHERE kind IN ('service_point', 'node', 'line', 'switch') AND id = COALESCE(NULLIF(?, ''),
		(SELECT MAX(s.asset) FROM series s JOIN grid_asset g ON g.id = s.asset WHERE s.gateway = ? AND s.device = ?))`,
		[]any{a.Asset, e.record.Gateway, a.Device}, &volts)
	return volts / math.Sqrt(3), err
}

func evidenceOf(e telemetry.Event, gateway string, nominal float64) []evidence.Observation {
	of := func(kind outage.Kind) evidence.Observation {
		return evidence.Observation{Evidence: outage.Evidence{Kind: kind, Gateway: gateway}}
	}
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		list := evidenceOfAlarm(*e.Alarm, e.Kind == telemetry.AlarmRaised)
		for i := range list {
			list[i].Gateway, list[i].Device, list[i].Alarm, list[i].Rule = gateway, e.Alarm.Device, e.Alarm.ID, e.Alarm.Rule
		}
		return list
	case telemetry.GatewayStarted:
		there := []evidence.Observation{of(outage.GatewayThere)}
		if p := e.Lifecycle.Presence; p != nil && (p.Feeder != "" || p.Site != "") {
			stands := of(outage.Gateway)
			if stands.Asset = p.Feeder; stands.Asset == "" {
				stands.Asset = p.Site
			}
			there = append([]evidence.Observation{stands}, there...)
		}
		return there
	case telemetry.SupplyFailed:
		return []evidence.Observation{of(outage.MainsFail)}
	case telemetry.SupplyRestored:
		return []evidence.Observation{of(outage.MainsBack)}
	case telemetry.SupplyInterrupted:
		i := *e.Interruption
		stands, noted := of(outage.Meter), of(outage.Interrupted)
		stands.Asset, stands.PoweredBy = i.Asset, "measured" // or it would have noted nothing
		noted.Asset, noted.Since, noted.Source = i.Asset, int64(e.Time), int64(i.To)
		stands.Device, noted.Device = i.Device, i.Device
		return []evidence.Observation{stands, noted}
	case telemetry.CommandAnswered:
		switch a := e.Answer; {
		case a.Result != telemetry.CommandDone:
		case a.Kind == string(record.Ping):
			return []evidence.Observation{of(outage.PingAnswered)}
		case a.Kind == string(record.Read):
			if v, says := evidenceOfReading(*a, nominal); says {
				v.Gateway = gateway
				return []evidence.Observation{v}
			}
		}
	}
	return nil
}

// evidenceOfAlarm is what the rules of the library say of supply when they raise an alarm,
// or clear it.
func evidenceOfAlarm(a telemetry.AlarmChange, raised bool) []evidence.Observation {
	one := func(v outage.Evidence) []evidence.Observation { return []evidence.Observation{{Evidence: v}} }
	voltage := func(levels outage.Levels) []evidence.Observation {
		return []evidence.Observation{{Evidence: outage.Evidence{Kind: outage.Meter, Asset: a.Asset, PoweredBy: "unknown"}},
			{Evidence: outage.Evidence{Kind: outage.Voltage, Asset: a.Asset, Levels: &levels}}}
	}
	switch a.Rule {
	case "supply-suspect", "supply-unknown":
		if !raised {
			return one(outage.Evidence{Kind: outage.Answer, Asset: a.Asset})
		}
		return []evidence.Observation{ // the rule is of those alone that are fed by what they measure
			{Evidence: outage.Evidence{Kind: outage.Meter, Asset: a.Asset, PoweredBy: "measured"}},
			{Evidence: outage.Evidence{Kind: outage.Timeout, Asset: a.Asset}}}
	case "voltage-interruption", "interruption", "reliability-interruption":
		if raised {
			return voltage(outage.Levels{})
		}
		return voltage(outage.Levels{100, 100, 100})
	case "phase-loss", "phase-loss-upstream":
		if !raised {
			return voltage(outage.Levels{100, 100, 100})
		}
		if levels, ok := levelsOf(a.Inputs, 0); ok {
			return voltage(levels)
		}
	case "breaker-tripped", "breaker-open", "breaker-lockout":
		if !raised {
			return nil // another of them may stand for it now: that it closes is seen by its position
		}
		return one(outage.Evidence{Kind: outage.Position, Switch: a.Asset, Open: &raised, LockedOut: a.Rule == "breaker-lockout"})
	case "supply-lost", "gateway-mains-lost":
		if raised {
			return one(outage.Evidence{Kind: outage.MainsFail})
		}
		return one(outage.Evidence{Kind: outage.MainsBack})
	}
	return nil
}

// evidenceOfReading is what a device says of supply that was read now. Its asset is found when
// it is kept, where the answer doesn't say it. It says nothing if all that it has is bad, or
// was told before it was asked. nominal is the voltage between a phase and neutral, 0: unknown.
func evidenceOfReading(a telemetry.CommandAnswer, nominal float64) (_ evidence.Observation, says bool) {
	v := evidence.Observation{Device: a.Device, Evidence: outage.Evidence{Kind: outage.PingAnswered, Asset: a.Asset}}
	if len(a.Read) == 0 {
		v.Kind = outage.PingUnanswered
		return v, true
	}
	var read []telemetry.Input
	highest, measured := 0.0, false
	for _, in := range a.Read {
		if in.Value == nil || !strings.HasPrefix(in.Quality, telemetry.Good.String()) || a.Began == 0 || in.Time < a.Began-readBefore {
			continue
		}
		between := strings.HasPrefix(in.Name, "PPV.")
		if between || strings.HasPrefix(in.Name, "PhV.") {
			scale, known := map[string]float64{"V": 1, "kV": 1000, "mV": 0.001}[in.Unit]
			volts := scale * *in.Value
			if !known || volts < 0 {
				continue
			}
			if between {
				volts /= math.Sqrt(3)
			}
			in.Value = &volts
			highest, measured = max(highest, volts), true
		}
		read = append(read, in)
	}
	if len(read) == 0 {
		return v, false
	}
	levels, known := levelsOf(read, nominal)
	none := noVoltage
	if nominal > 0 {
		none = dead * nominal
	}
	switch {
	case measured && highest < none:
		v.Kind, v.Levels = outage.Voltage, &outage.Levels{}
	case known:
		v.Kind, v.Levels = outage.Voltage, &levels
	}
	return v, true
}

// readBefore is how far a value's time may be before that at which it was asked for: the two
// needn't be of one clock.
const readBefore = telemetry.Micros(1e6)

// dead is the share of the nominal voltage below which none is there.
const dead = 0.05

// noVoltage is the voltage of a phase, in V, below which none is there where the nominal one
// isn't known: that of the lowest voltage there is in a network.
const noVoltage = dead * 230

// levelsOf is what the voltages of inputs are in percent of the nominal one, at most 100, or
// where that isn't known, of the highest of them, which some phase has that wasn't lost. False
// if one of them isn't known.
func levelsOf(inputs []telemetry.Input, nominal float64) (levels outage.Levels, ok bool) {
	var volts [3]float64
	var have [3]bool
	highest := 0.0
	for _, in := range inputs {
		i := slices.Index([]string{"PhV.phsA", "PhV.phsB", "PhV.phsC"}, in.Name)
		if i < 0 || in.Value == nil || !(*in.Value >= 0) {
			continue
		}
		volts[i], have[i] = *in.Value, true
		highest = max(highest, *in.Value)
	}
	if have != [3]bool{true, true, true} || highest == 0 {
		return levels, false
	}
	whole := highest
	if nominal > 0 {
		whole = nominal
	}
	for i, v := range volts {
		levels[i] = uint8(min(math.Round(100*v/whole), 100))
	}
	return levels, true
}

// noteHearing keeps that a gateway has fallen silent, without having stopped, or that it
// is heard again.
func noteHearing(t *store.Tx, p store.Presence, silent bool, at telemetry.Micros) error {
	if known, err := t.HasGrid(); err != nil || !known || silent && p.Stopped {
		return err
	}
	kind := outage.GatewayThere
	if silent {
		kind = outage.GatewayGone
	}
	return evidence.Note(t, evidence.Observation{Evidence: outage.Evidence{Kind: kind, Gateway: p.Gateway, Arrival: int64(at)}})
}
