package gatewayconfig

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
)

// Demand is what a configuration asks of buses, disk and link.
type Demand struct {
	Buses  []BusDemand // by endpoint
	Values float64     // read in a second
}

// BusDemand is what the devices of one endpoint ask of it together.
type BusDemand struct {
	Endpoint string
	Devices  int
	modbus.Demand
}

// What a value takes, measured with noise (docs/reliability.md): more is
// assumed than any of the measurements needed.
const (
	storedPerValue = 2.6 // bytes, in the buffer
	sentPerValue   = 1.1 // bytes, signed
)

// Demand is that of a valid configuration.
func (c Config) Demand() Demand {
	var l Demand
	buses := map[string]*BusDemand{}
	for _, d := range c.Devices {
		m := d.ModbusDevice()
		e, err := modbus.ParseEndpoint(m.Endpoint)
		if err != nil {
			continue
		}
		name := string(e.Transport) + "://" + e.Address
		b := buses[name]
		if b == nil {
			b = &BusDemand{Endpoint: name}
			buses[name] = b
		}
		demand := m.Demand()
		b.Devices++
		b.Requests += demand.Requests
		b.Registers += demand.Registers
		b.Busy += demand.Busy
		l.Values += float64(len(d.Signals)) / time.Duration(d.PollEvery).Seconds()
	}
	for _, name := range slices.Sorted(maps.Keys(buses)) {
		l.Buses = append(l.Buses, *buses[name])
	}
	return l
}

// SentPerDay is how many bytes go to the log in a day, without the protocol
// around them, if every value is stored.
func (l Demand) SentPerDay() configfile.Size {
	return configfile.Size(l.Values * sentPerValue * 86400)
}

// Holds is how long a buffer keeps everything while the log is away, before it
// thins.
func (l Demand) Holds(b Buffer) time.Duration {
	room := 0.8 * float64(b.MaxSize-b.ReserveForEvents)
	hours := room / (l.Values * storedPerValue) / 3600
	if hours > 24*365 {
		hours = 24 * 365
	}
	return time.Duration(hours * float64(time.Hour))
}

// Change is one difference between two configurations.
type Change struct {
	What string // gateway, forward, buffer, …; device or rule with its name
	How  string // added, removed, or what is different
}

// Changes are the differences that make from into c. Devices are told apart by
// their ids, rules by their names.
func (c Config) Changes(from Config) []Change {
	var changes []Change
	for _, part := range []struct {
		name     string
		old, new any
	}{
		{"gateway", from.Gateway, c.Gateway}, {"forward", from.Forward, c.Forward}, {"buffer", from.Buffer, c.Buffer},
		{"status", from.Status, c.Status}, {"time", from.Time, c.Time}, {"assets", from.Assets, c.Assets},
	} {
		if !reflect.DeepEqual(part.old, part.new) {
			changes = append(changes, Change{part.name, "changed"})
		}
	}
	changes = append(changes, difference("device", from.Devices, c.Devices, func(d Device) string { return d.ID }, Device.changes)...)
	return append(changes, difference("rule", from.Rules, c.Rules, ruleName, func(_, _ rules.Rule) string { return "changed" })...)
}

func ruleName(r rules.Rule) string {
	if r.Name != "" {
		return r.Name
	}
	return "use " + r.Use
}

func difference[T any](what string, from, to []T, name func(T) string, how func(old, new T) string) []Change {
	old := map[string]T{}
	for _, t := range from {
		old[name(t)] = t
	}
	var changes []Change
	for _, t := range to {
		before, known := old[name(t)]
		delete(old, name(t))
		switch {
		case !known:
			changes = append(changes, Change{what + " " + name(t), "added"})
		case !reflect.DeepEqual(before, t):
			changes = append(changes, Change{what + " " + name(t), how(before, t)})
		}
	}
	for _, removed := range slices.Sorted(maps.Keys(old)) {
		changes = append(changes, Change{what + " " + removed, "removed"})
	}
	return changes
}

// changes says what makes the old device into the new one.
func (d Device) changes(to Device) string {
	var list []string
	differ := func(name string, old, new any) {
		if o, n := fmt.Sprint(old), fmt.Sprint(new); o != n {
			list = append(list, fmt.Sprintf("%s %s becomes %s", name, o, n))
		}
	}
	differ("poll_every", d.PollEvery, to.PollEvery)
	differ("timeout", d.Timeout, to.Timeout)
	differ("asset", d.Asset, to.Asset)
	if d.Modbus != nil && to.Modbus != nil {
		differ("endpoint", d.Modbus.Endpoint, to.Modbus.Endpoint)
		differ("unit", d.Modbus.Unit, to.Modbus.Unit)
	}
	counts := map[string]int{}
	for _, c := range difference("", d.Signals, to.Signals, func(s Signal) string { return s.Name }, func(_, _ Signal) string { return "changed" }) {
		counts[c.How]++
	}
	for _, how := range []string{"added", "removed", "changed"} {
		if n := counts[how]; n > 0 {
			list = append(list, fmt.Sprintf("%d signals %s", n, how))
		}
	}
	if !reflect.DeepEqual(d.Control, to.Control) {
		list = append(list, fmt.Sprintf("control of %d signals becomes control of %d", len(d.Control), len(to.Control)))
	}
	if len(list) == 0 {
		return "changed"
	}
	return strings.Join(list, ", ")
}
