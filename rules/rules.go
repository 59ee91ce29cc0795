// Package rules recognises conditions in a stream of samples and turns them
// into alarms. Rules are written in YAML, compiled once against the assets,
// devices and signals that they are about, and evaluated by an Engine.
//
// # Conditions
//
// An expression compares signals of one asset or device: names such as
// PhV.phsA or TotW, numbers, + - * /, < <= > >= == !=, and, or, not,
// parentheses, and the functions that docs/rules.md lists. To compare or add
// different units is an error; a number without a unit agrees with every one. It has
// no loops, and what it looks back on is bounded.
//
// A value counts if it is a finite number, neither bad nor stale nor a test,
// and not older than three poll periods of its device. Without it a comparison
// is unknown, and unknown spreads by Kleene's logic: false and unknown is false,
// true or unknown is true. An unknown condition neither raises nor clears.
//
// Functions that look back, such as max_over, take each value to hold until the
// next. They are unknown until what is kept reaches back far enough.
//
// # Time
//
// A condition's time is counted in source time, between samples on which it is
// true; one on which it is false starts it anew. Time in which it is unknown
// isn't counted, and more than three poll periods of that start it anew. The
// alarm is raised, or cleared, by the sample that completes the time, or by the
// clock if no sample is expected: when each of the values was read less than
// half its device's poll period before, or comes by change only. A device that
// falls silent confirms nothing.
package rules

import (
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Rule is one entry of the configuration's rules: a rule of its own, or with
// use the rules of one file of the standard library.
type Rule struct {
	// Use takes the rules of a file of the standard library, such as en50160, or one of
	// them, such as en50160/voltage-dip. Name, when, clear_when, summary, group and
	// method are then the library's; the other keys, where given, replace the library's.
	Use string `yaml:"use"`
	// With gives values to the library's parameters, each with its unit, or
	// names to numbers for a rule's own expressions.
	With map[string]configfile.Quantity `yaml:"with"`
	// Name is the rule's name in its alarms: lower-case letters, digits and
	// hyphens.
	Name string `yaml:"name"`
	// On selects the assets or devices that the rule applies to, each on its
	// own. Each must have the signals that the rule names. Without it, the rule
	// applies to every asset that has them.
	On Target `yaml:"on"`
	// When is the condition that raises the alarm.
	When string `yaml:"when"`
	// ClearWhen is the condition that clears it; the default is that when is
	// false. A distance between the two is the hysteresis.
	ClearWhen string `yaml:"clear_when"`
	// For is how long when holds before the alarm is raised. Default 0s.
	For *configfile.Duration `yaml:"for"`
	// KeepFiringFor is how long the condition to clear holds before the alarm is
	// cleared. Default 0s.
	KeepFiringFor *configfile.Duration `yaml:"keep_firing_for"`
	// Latch keeps the alarm active when its condition is over, until somebody resets it.
	// Default false.
	Latch bool `yaml:"latch"`
	// SuppressedBy names rules of the same asset or device, or of one that it is part
	// of. While the alarm of one of them is active, or its condition waits to raise it,
	// this one isn't raised; if its condition still holds then, it is raised afterwards.
	SuppressedBy []string `yaml:"suppressed_by"`
	// SuppressedWhen is a condition with the same effect, such as that of a key switch
	// for maintenance.
	SuppressedWhen string `yaml:"suppressed_when"`
	// Group is a name for alarms of one asset that have one cause. Of those that are
	// active at once, each says which came first. Lower-case letters, digits and hyphens.
	Group string `yaml:"group"`
	// Method says how what the rule reads was measured, for those who read its alarms:
	// sampled, device-event or half-cycle. Statistics of EN 50160 follow from no other
	// than the last.
	Method string `yaml:"method"`
	// Operate is what is written to devices when the alarm is raised and when it is
	// cleared. Each signal has to be listed under control of its device, with by_rules.
	// Only a rule without use, whose name no other entry has, can operate anything.
	// Default: nothing.
	Operate []Operation `yaml:"operate"`
	// Capture asks for the samples before and after the alarm was raised.
	Capture *Capture `yaml:"capture"`
	// Priority is low, medium, high or critical, after ISA-18.2. Default medium.
	Priority telemetry.Priority `yaml:"priority"`
	// Summary is the sentence that an operator reads, a Go template in which
	// .asset, .device and .rule are names and a signal's name is its value:
	// "Top oil of {{ .asset }} is {{ .TopOilTmp }} °C". printf formats values.
	// Default "{{ .rule }} at {{ .asset }}".
	Summary string `yaml:"summary"`
}

// Capture says for how long samples of the signals that a rule reads are kept with an
// alarm, from before the sample that its condition began with until after it was
// confirmed. At most 10m each; at most 600 samples of a signal.
type Capture struct {
	// Before is for how long before that. Default 0s.
	Before configfile.Duration `yaml:"before"`
	// After is for how long after the alarm was confirmed. Default 0s.
	After configfile.Duration `yaml:"after"`
}

// Operation is what an alarm writes to one signal of a device. An Engine does nothing
// about it.
type Operation struct {
	// Device is the id of the device.
	Device string `yaml:"device,required"`
	// Signal is the name of one of its signals.
	Signal string `yaml:"signal,required"`
	// OnRaise is the value that is written when the alarm is raised, in the signal's
	// unit; a bool's is 0 or 1. Default: none is.
	OnRaise *float64 `yaml:"on_raise"`
	// OnClear is the value that is written when it is cleared by its condition, unless
	// another alarm is active that writes to the signal when it is raised. Default: none
	// is.
	OnClear *float64 `yaml:"on_clear"`
}

// Target selects assets, or devices if device is given. Its keys narrow each
// other.
type Target struct {
	// Asset is the id of one asset.
	Asset string `yaml:"asset"`
	// Kind is the kind of the assets.
	Kind string `yaml:"kind"`
	// Device is the id of one device, or "*" for every device on its own. The
	// rule then reads signals of this device only.
	Device string `yaml:"device"`
	// Bus is the address or line that devices are reached by, or "*" for every one on
	// its own. The rule reads devices and answering.
	Bus string `yaml:"bus"`
	// Gateway selects the gateway itself. The rule reads its ClkSt and Mains.
	Gateway bool `yaml:"gateway"`
}
