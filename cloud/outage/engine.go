// Package outage makes outages of evidence: which device has opened, who is without
// supply, since when, and until when. It is pure: the same evidence gives the
// same incidents, and it knows no clock but the one it is given.
//
// docs/outage.md says how it decides.
package outage

import "github.com/busbar/busbar/grid"

// Engine turns evidence into incidents. It is not safe for concurrent use.
//
// Whoever uses it gives it evidence in the order of arrival by Take, and the time
// by Advance, which is when it decides: at Next, or sooner. An engine that is given the
// same again, in the same order and at the same times, says the same.
type Engine struct{}

// New is an engine over a network, with all in its normal position, at a time in µs
// since 1970 UTC.
func New(network *grid.Snapshot, c Config, at int64) *Engine { panic("not yet") }

// Take takes a piece of evidence. An error says what is wrong with it, and it is
// left out. One about something that the network hasn't got is kept until it has,
// if it says what there is (a meter, a gateway), or how a switch is; else it is
// counted by Strange.
func (e *Engine) Take(v Evidence) error { panic("not yet") }

// Advance is the time. What has changed since is returned in the order in which it
// did, and what the engine wants to know. A time before the last one is that one.
func (e *Engine) Advance(at int64) ([]Change, []Ask) { panic("not yet") }

// Next is when Advance has something to decide, if no evidence comes; false if
// never.
func (e *Engine) Next() (at int64, ok bool) { panic("not yet") }

// Use is another version of the network, from the next Advance on. What is known
// of assets that it still has stays.
func (e *Engine) Use(network *grid.Snapshot) { panic("not yet") }

// Plan is all switching that is planned, instead of what was.
func (e *Engine) Plan(plans []Plan) { panic("not yet") }

// Incidents is those that are known, by their ids: those that go on, and those over
// for less than Config.Keep.
func (e *Engine) Incidents() []Incident { panic("not yet") }

// Incident is one of them.
func (e *Engine) Incident(id string) (Incident, bool) { panic("not yet") }

// Operation is the network as it is operated as far as is known: by telemetered
// positions of good quality and those that people entered. It is valid until the next
// Advance.
func (e *Engine) Operation() *grid.Operation { panic("not yet") }

// Silent is the gateways from which nothing comes and for which no outage
// accounts: their communication is suspected. Sorted.
func (e *Engine) Silent() []string { panic("not yet") }

// Strange counts evidence about what the network hasn't got.
func (e *Engine) Strange() int { panic("not yet") }
