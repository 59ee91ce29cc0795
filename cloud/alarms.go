package cloud

import (
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alarm/performance"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Alarms says how people handle alarms, and how much work they may make.
type Alarms struct {
	// For how long an alarm may be shelved at most, by its priority.
	Shelving Shelving `yaml:"shelving"`

	// What the alarm performance report is held against.
	Targets AlarmTargets `yaml:"targets"`
}

// Shelving is for how long an alarm of each priority may be shelved, at most 8784h. With
// 0s it may not.
type Shelving struct {
	// Default: 1h.
	Critical configfile.Duration `yaml:"critical"`

	// Default: 8h.
	High configfile.Duration `yaml:"high"`

	// Default: 24h.
	Medium configfile.Duration `yaml:"medium"`

	// Default: 168h.
	Low configfile.Duration `yaml:"low"`
}

// AlarmTargets are figures that alarms are to keep to, each at most.
type AlarmTargets struct {
	// Those of eemua191, iec62682-2014 or isa18.2-2016. Default: isa18.2-2016.
	Preset string `yaml:"preset"`

	// Figures of your own in place of the preset's: per-day, per-hour, per-10-min,
	// peak-10-min, over-share, flood-share, top-10-share, chattering, stale, urgent-share,
	// medium-share. Shares are from 0 to 1. Example: {per-day: 300}.
	Figures map[string]float64 `yaml:"figures"`
}

const longestShelving = configfile.Duration(8784 * time.Hour)

func defaultAlarms() Alarms {
	of := func(p telemetry.Priority) configfile.Duration {
		return configfile.Duration(alarm.DefaultLimits[p])
	}
	return Alarms{Shelving{of(telemetry.Critical), of(telemetry.High), of(telemetry.Medium), of(telemetry.Low)}, AlarmTargets{Preset: performance.DefaultPreset}}
}

func (a Alarms) check(f *configfile.File) {
	for p, most := range a.Shelving.limits() {
		if d := configfile.Duration(most); d > longestShelving {
			f.Errorf("alarms.shelving."+string(p), "%s is out of range, expected 0s to %s", d, longestShelving)
		}
	}
	if performance.Presets[a.Targets.Preset] == nil {
		f.Errorf("alarms.targets.preset", "%q, expected one of %v", a.Targets.Preset, performance.PresetNames())
	}
	known := map[string]bool{}
	for _, figure := range performance.Figures {
		known[string(figure)] = true
	}
	for name, most := range a.Targets.Figures {
		if at := configfile.Join("alarms.targets.figures", name); !known[name] {
			f.Errorf(at, "is no figure, expected one of %v", performance.Figures)
		} else if most < 0 {
			f.Errorf(at, "%g is out of range, expected 0 or more", most)
		}
	}
}

func (s Shelving) limits() alarm.Limits {
	return alarm.Limits{telemetry.Critical: time.Duration(s.Critical), telemetry.High: time.Duration(s.High),
		telemetry.Medium: time.Duration(s.Medium), telemetry.Low: time.Duration(s.Low)}
}

// figures are the preset's with the configuration's own, and what they are called.
func (t AlarmTargets) figures() (performance.Targets, string) {
	targets, name := performance.Targets{}, t.Preset
	for figure, most := range performance.Presets[t.Preset] {
		targets[figure] = most
	}
	for figure, most := range t.Figures {
		targets[performance.Figure(figure)] = most
		name = t.Preset + ", with figures of its own"
	}
	return targets, name
}
