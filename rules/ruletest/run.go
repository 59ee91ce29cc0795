package ruletest

import (
	"slices"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// Result is what came of one test.
type Result struct {
	Name string
	// Failures are what was otherwise than expected, each at its place in the file;
	// empty if the test has passed.
	Failures configfile.Errors
}

// Run runs the tests, each with rules that have seen nothing yet.
func (s *Suite) Run() []Result {
	results := make([]Result, len(s.tests))
	for i, t := range s.tests {
		path := configfile.Item("tests", i)
		raised, refused := s.play(t)
		for _, j := range refused {
			results[i].Failures = append(results[i].Failures, s.file.ErrorAt(configfile.Item(path+".resets", j), "%s isn't active then", t.Resets[j]))
		}
		results[i].Name, results[i].Failures = t.Name, append(results[i].Failures, s.compare(path, t, raised)...)
	}
	return results
}

// occurrence is an alarm as it was raised, and as it was cleared if it was.
type occurrence struct {
	telemetry.AlarmChange
	raised  telemetry.Micros
	cleared *telemetry.Micros
}

// exchange is the series of one device.
type exchange struct {
	signals []telemetry.SignalID
	series  []values
	live    telemetry.SignalID // of whether the device answers, if there is no series of it
}

// play lets the engine take the series, and is what it raises, and the resets of what
// isn't active. What is read at one moment from a device is one exchange with it,
// received at once.
func (s *Suite) play(t test) (raised []*occurrence, refused []int) {
	engine, problems := rules.Compile(s.rules, s.model)
	if len(problems) > 0 {
		panic(problems[0]) // Parse has compiled them
	}
	active := map[string]*occurrence{}
	emit := func(e telemetry.Event) {
		switch e.Kind {
		case telemetry.AlarmRaised:
			o := &occurrence{AlarmChange: *e.Alarm, raised: e.Time}
			raised, active[o.ID] = append(raised, o), o
		case telemetry.AlarmCleared:
			if o := active[e.Alarm.ID]; o != nil {
				o.cleared = &e.Time
			}
		}
	}
	pass := func(until time.Time) {
		for next := engine.NextDeadline(); !next.IsZero() && !next.After(until); next = engine.NextDeadline() {
			engine.Tick(next, emit)
		}
	}
	exchanges, moments := s.exchanges(t)
	start := telemetry.Micros(t.Start).Time()
	now := start
	resets := slices.Clone(t.Resets)
	for k := range moments {
		if k > 0 {
			now = now.Add(time.Duration(t.Every))
		}
		for at := len(t.Resets) - len(resets); len(resets) > 0 && !start.Add(time.Duration(*resets[0].At)).After(now); at++ {
			then := start.Add(time.Duration(*resets[0].At))
			pass(then)
			if !slices.ContainsFunc(raised, func(o *occurrence) bool {
				return resets[0].about(o) && o.cleared == nil && engine.Reset(o.ID, then, emit)
			}) {
				refused = append(refused, at)
			}
			resets = resets[1:]
		}
		pass(now)
		for _, x := range exchanges {
			if samples := x.at(k, telemetry.MicrosOf(now)); len(samples) > 0 {
				engine.Update(now, samples, emit)
			}
		}
	}
	pass(now)
	for range resets { // after the end: nobody saw what came of them
		refused = append(refused, len(t.Resets)-len(resets))
		resets = resets[1:]
	}
	return raised, refused
}

// exchanges are those of the devices that have series, in the order of the devices,
// and how many moments the longest lasts.
func (s *Suite) exchanges(t test) (list []exchange, moments int) {
	for _, d := range s.model.Devices {
		var x exchange
		for _, signal := range s.model.Signals {
			if signal.Device != d.ID {
				continue
			}
			series, given := t.Series[d.ID][signal.Name]
			if given {
				x.signals, x.series = append(x.signals, signal.ID), append(x.series, series)
				moments = max(moments, series.len())
			} else if signal.Name == telemetry.ChannelLive {
				x.live = signal.ID
			}
		}
		if len(x.series) > 0 {
			list = append(list, x)
		}
	}
	return list, moments
}

// at is what is read at the k-th moment.
func (x exchange) at(k int, now telemetry.Micros) (samples []telemetry.Sample) {
	answered := false
	for n, series := range x.series {
		if value, quality, ok := series.at(k); ok {
			samples = append(samples, telemetry.Sample{Time: now, Value: value, Signal: x.signals[n], Quality: quality})
			answered = answered || !silence(quality)
		}
	}
	if len(samples) > 0 && x.live != 0 {
		samples = append(samples, telemetry.Sample{Time: now, Value: telemetry.BoolValue(answered), Signal: x.live})
	}
	return samples
}
