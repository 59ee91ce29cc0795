// Package gpio reads contacts at the GPIO lines of this machine through Linux's
// character devices (/dev/gpiochipN, version 2 of their interface). A line is told of
// when it changes, with the moment of its edge as the kernel noted it.
package gpio

import (
	"log/slog"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// Adapter is the adapters.Adapter for contacts.
type Adapter = session.Adapter[Device]

// New is an adapter of devices that have been checked. logger nil means slog.Default.
func New(devices []Device, logger *slog.Logger) *Adapter { return session.New(devices, logger) }

// Device is some lines of one chip.
type Device struct {
	ID   string
	Chip string // its file
	// Lines are held by the gateway alone while it reads them, each by itself: one
	// that is taken by somebody else, or vanishes, doesn't touch the others.
	Lines []Line
	Live  telemetry.SignalID
}

// Line is one input.
type Line struct {
	Name      string
	Offset    uint32 // of the line on its chip
	ActiveLow bool   // a low level is 1
	Bias      Bias
	// Debounce is for how long a level has to last before it counts; 0: each edge does.
	Debounce time.Duration
	Signal   telemetry.SignalID
}

// Bias is what holds the level of a line that nothing drives.
type Bias string

const (
	AsIs     Bias = "as-is" // what the machine's firmware has set
	PullUp   Bias = "pull-up"
	PullDown Bias = "pull-down"
	None     Bias = "none"
)

// MaxDebounce bounds how long a level may have to last.
const MaxDebounce = 10 * time.Second

// About implements session.Device.
func (d Device) About() session.About {
	a := session.About{ID: d.ID, Where: d.Chip, Live: d.Live}
	for _, l := range d.Lines {
		a.Points = append(a.Points, session.Point{Name: l.Name, Signal: l.Signal})
	}
	return a
}
