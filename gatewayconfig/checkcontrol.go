package gatewayconfig

import (
	"math"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
)

const (
	shortestSelection = configfile.Duration(time.Second)
	longestSelection  = configfile.Duration(10 * time.Minute)
	longestInterval   = configfile.Duration(24 * time.Hour)
)

// checkControl checks what may be written, of a configuration that has been filled
// and whose devices are right.
func (k checker) checkControl() {
	var model rules.Model
	for i, d := range k.config.Devices {
		if d.Modbus == nil && d.OPCUA == nil && d.telecontrol() == nil {
			continue
		}
		path := configfile.Item("devices", i) + ".control"
		if len(d.Control) > 0 && model.Gateway == "" {
			model = k.config.Model()
		}
		first := map[string]int{}
		for j, c := range d.Control {
			at := configfile.Item(path, j)
			if other, twice := first[c.Signal]; twice {
				k.Errorf(at+".signal", "%q is control[%d] of this device already, expected one entry for each signal", c.Signal, other)
				continue
			}
			first[c.Signal] = j
			k.checkControlled(at, d, c)
			for n, lock := range c.Interlock {
				k.checkInterlock(configfile.Item(at+".interlock", n), d, lock, model)
			}
		}
	}
}

func (k checker) checkControlled(at string, d Device, c Control) {
	if k.Has(at+".command") && d.telecontrol() == nil {
		k.Errorf(at+".command", "the device isn't read by iec104 or iec101, expected the key to be left out")
	}
	switch {
	case d.OPCUA != nil:
		k.checkOPCUAControl(at, d, c)
	case d.telecontrol() != nil:
		k.checkIEC104Control(at, d, c)
	default:
		if k.Has(at + ".call") {
			k.Errorf(at+".call", "the device is read by modbus, which hasn't got methods, expected the key to be left out")
		}
		for _, err := range d.ModbusDevice().CheckControl(c.modbus()) {
			key, message, _ := strings.Cut(err.Error(), ": ")
			k.Errorf(at+"."+key, "%s", message)
		}
	}
	if c.Mode != ControlSelected && c.Mode != ControlDirect {
		k.Errorf(at+".mode", "%q, expected %s or %s", c.Mode, ControlSelected, ControlDirect)
	}
	within(k, at+".select_timeout", c.SelectTimeout, shortestSelection, longestSelection)
	within(k, at+".min_interval", c.MinInterval, 0, longestInterval)
	s, known := d.Signal(c.Signal)
	if !known {
		return
	}
	if d.Profile != "" && !s.Writable {
		k.Errorf(at+".signal", "the profile doesn't say that %s can be written; if the device takes it, expected {name: %s, writable: true} in signals", c.Signal, c.Signal)
	}
	k.checkRange(at, s, c)
}

func (k checker) checkRange(at string, s Signal, c Control) {
	whole := func(v *float64) bool { return v == nil || !math.IsNaN(*v) && !math.IsInf(*v, 0) }
	switch {
	case !whole(c.Min) || !whole(c.Max):
		k.Errorf(at, "min and max, expected numbers")
	case k.Has(at+".one_of") && (c.Min != nil || c.Max != nil):
		k.Errorf(at+".one_of", "min or max is given too, expected one way to say it")
	case k.Has(at+".one_of") && len(c.OneOf) == 0:
		k.Errorf(at+".one_of", "no value, expected at least one")
	case s.Type == modbus.Bool && (c.Min != nil || c.Max != nil):
		k.Errorf(at, "%s is 0 or 1, expected no min and max; one_of can leave one of them out", s.Name)
	case len(c.OneOf) > 0 || s.Type == modbus.Bool:
	case (c.Min == nil) != (c.Max == nil) || c.Min == nil && !k.Broken(at):
		k.Errorf(at, "which values may be written to %s isn't said, expected min and max, or one_of", s.Name)
	case c.Min != nil && *c.Min > *c.Max:
		k.Errorf(at+".min", "%v is above max, %v", *c.Min, *c.Max)
	}
	for i, v := range c.OneOf {
		item := configfile.Item(at+".one_of", i)
		switch {
		case !whole(&v):
			k.Errorf(item, "%v, expected a number", v)
		case s.Type == modbus.Bool && v != 0 && v != 1:
			k.Errorf(item, "%v, but %s is 0 or 1", v, s.Name)
		}
	}
}

func (k checker) checkInterlock(at string, d Device, lock Interlock, model rules.Model) {
	if lock.Device != "" && lock.Asset != "" {
		k.Errorf(at+".asset", "device is given too, expected one of them")
		return
	}
	_, problem := rules.CompileInterlock(lock.When, lock.Target(d.ID), model)
	if problem == nil {
		return
	}
	path := at + "." + strings.TrimPrefix(problem.Field, "on.")
	if problem.Column > 0 {
		k.ErrorfIn(path, problem.Column, "%s", problem.Err)
	} else {
		k.Errorf(path, "%s", problem.Err)
	}
}

// checkOPCUAControl checks what only the control of a server's nodes has.
func (k checker) checkOPCUAControl(at string, d Device, c Control) {
	var names []string
	for _, s := range d.Signals {
		names = append(names, s.Name)
	}
	switch s, known := d.Signal(c.Signal); {
	case !known:
		k.Errorf(at+".signal", "%s has no signal %q%s", d.ID, c.Signal, orNearest(c.Signal, names))
	case s.Element != "":
		k.Errorf(at+".signal", "%s is a part of a value, and only whole values are written", c.Signal)
	case s.Type == modbus.String:
		k.Errorf(at+".signal", "%s is a text, expected a number or a bool", c.Signal)
	}
	if _, known := d.Signal(c.Feedback); c.Feedback != "" && !known {
		k.Errorf(at+".feedback", "%s has no signal %q%s", d.ID, c.Feedback, orNearest(c.Feedback, names))
	}
	if k.Has(at + ".write") {
		k.Errorf(at+".write", "a node is written in one way only, expected the key to be left out")
	}
	within(k, at+".settle", c.Settle, 0, configfile.Duration(time.Minute))
	if c.Call != nil {
		k.checkCall(at+".call", d, c)
	}
}

// checkCall checks the methods by which a signal is operated.
func (k checker) checkCall(at string, d Device, c Control) {
	for key, node := range map[string]string{"object": c.Call.Object, "method": c.Call.Method, "on": c.Call.On, "off": c.Call.Off} {
		if _, err := opcua.ParseNode(node); k.Has(at+"."+key) && err != nil {
			k.Errorf(at+"."+key, "%s", err)
		}
	}
	each := c.Call.On != "" || c.Call.Off != ""
	switch s, known := d.Signal(c.Signal); {
	case k.Broken(at):
	case each && c.Call.Method != "":
		k.Errorf(at+".method", "on or off is given too, expected one method that takes the value, or one for each of a bool's")
	case !each && c.Call.Method == "":
		k.Errorf(at, "no method, expected method, or on and off")
	case each && known && s.Type != modbus.Bool:
		k.Errorf(at, "%s is no bool, expected method, which takes the value", s.Name)
	}
}

// opcua is the control as the adapter takes it, of one that has been checked.
func (c Control) opcua() opcua.Control {
	o := opcua.Control{Point: c.Signal, Feedback: c.Feedback, Settle: time.Duration(c.Settle)}
	if c.Call == nil {
		return o
	}
	node := func(text string) (n opcua.Node) {
		if text == "" {
			return n
		}
		n, err := opcua.ParseNode(text)
		if err != nil {
			panic(err) // it has been checked
		}
		return n
	}
	o.Call = &opcua.Call{Object: node(c.Call.Object), Method: node(c.Call.Method), On: node(c.Call.On), Off: node(c.Call.Off)}
	return o
}

// modbus is the control as the adapter takes it.
func (c Control) modbus() modbus.Control {
	return modbus.Control{Point: c.Signal, Method: c.Write, Feedback: c.Feedback, Settle: time.Duration(c.Settle)}
}
