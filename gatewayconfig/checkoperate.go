package gatewayconfig

import (
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
)

// OperateWithin is how long after its alarm an operation of a rule may begin.
const OperateWithin = 10 * time.Second

// checkOperations checks what rules operate, of a configuration that has been filled
// and whose devices are right. Nothing is operated that the file doesn't permit in
// three places.
func (k checker) checkOperations() {
	for i, r := range k.config.Rules {
		at := configfile.Item("rules", i) + ".operate"
		if len(r.Operate) == 0 {
			continue
		}
		for other, o := range k.config.Rules {
			if other != i && o.Name == r.Name && r.Name != "" {
				k.Errorf(at, "rules[%d] has the name %s too, expected one of its own for a rule that operates something", other, r.Name)
				break
			}
		}
		switch {
		case r.Use != "":
			k.Errorf(at, "the rules of %s can't operate anything, expected a rule of your own, without use", r.Use)
		case k.config.Gateway.Control != Enabled && !k.Broken("gateway.control"):
			k.Errorf(at, "control of this gateway isn't enabled, expected control: enabled under gateway")
		}
		for j, o := range r.Operate {
			item := configfile.Item(at, j)
			same := func(p rules.Operation) bool { return p.Device == o.Device && p.Signal == o.Signal }
			if first := slices.IndexFunc(r.Operate, same); first != j {
				k.Errorf(item, "%s of %s is operate[%d] of this rule already, expected one entry for each signal", o.Signal, o.Device, first)
				continue
			}
			k.checkOperation(item, o)
		}
	}
}

func (k checker) checkOperation(at string, o rules.Operation) {
	if o.OnRaise == nil && o.OnClear == nil && !k.Broken(at) {
		k.Errorf(at, "no value, expected on_raise, on_clear or both")
	}
	var ids []string
	for _, d := range k.config.Devices {
		ids = append(ids, d.ID)
	}
	i := slices.Index(ids, o.Device)
	switch nearest := configfile.Nearest(o.Device, ids); {
	case i >= 0:
	case o.Device == "":
		return
	case nearest != "":
		k.Errorf(at+".device", "there is no device %q, did you mean %q?", o.Device, nearest)
		return
	default:
		k.Errorf(at+".device", "there is no device %q, expected one of devices", o.Device)
		return
	}
	d := k.config.Devices[i]
	c, listed := d.ControlOf(o.Signal)
	s, _ := d.Signal(o.Signal)
	switch {
	case o.Signal == "":
		return
	case !listed:
		k.Errorf(at+".signal", "%s isn't listed under control of %s, expected an entry {signal: %s, by_rules: true} there", o.Signal, o.Device, o.Signal)
		return
	case !c.ByRules:
		k.Errorf(at+".signal", "rules may not operate %s of %s, expected by_rules: true in its entry under control", o.Signal, o.Device)
	}
	for _, v := range []struct {
		key   string
		value *float64
	}{{"on_raise", o.OnRaise}, {"on_clear", o.OnClear}} {
		if v.value == nil {
			continue
		}
		if expected := c.permits(s, *v.value); expected != "" {
			k.Errorf(at+"."+v.key, "%v, expected %s, which the entry under control allows", *v.value, expected)
		}
	}
	if every := time.Duration(c.MinInterval); o.OnClear != nil && every >= OperateWithin {
		k.Errorf(at+".on_clear", "it couldn't be written within %v of the end of a short alarm: min_interval of %s is %v, expected less than %v there", OperateWithin, o.Signal, every, OperateWithin)
	}
}

// permits says which values may be written to the signal, if this one may not.
func (c Control) permits(s Signal, v float64) (expected string) {
	switch {
	case len(c.OneOf) > 0:
		if !slices.Contains(c.OneOf, v) {
			return fmt.Sprintf("one of %v", c.OneOf)
		}
	case s.Type == modbus.Bool:
		if v != 0 && v != 1 {
			return "0 or 1"
		}
	case c.Min != nil && c.Max != nil && !(v >= *c.Min && v <= *c.Max):
		return fmt.Sprintf("%v to %v", *c.Min, *c.Max)
	}
	return ""
}
