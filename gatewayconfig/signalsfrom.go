package gatewayconfig

import (
	"errors"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/signallist"
)

// mostListErrors is how many errors of a table are told.
const mostListErrors = 20

// resolveLists gives each station the signals of its table.
func (k checker) resolveLists() {
	for i := range k.config.Devices {
		d := &k.config.Devices[i]
		at := configfile.Item("devices", i) + ".signals_from"
		if d.telecontrol() == nil || !k.Has(at) || k.Broken(at) {
			continue
		}
		if d.SignalsFrom == "" {
			k.Errorf(at, "empty, expected the name of a file")
			continue
		}
		src, err := k.read(d.SignalsFrom.In(k.dir))
		if unreadable, is := errors.AsType[*configfile.ReadError](err); is {
			err = unreadable.Err
		}
		if err != nil {
			k.Errorf(at, "%s", err)
			continue
		}
		list, err := signallist.Parse(string(d.SignalsFrom), src, d.telecontrolled())
		if wrong, is := errors.AsType[configfile.Errors](err); is {
			for n, e := range wrong {
				if n == mostListErrors {
					k.Errorf(at, "and %d more", len(wrong)-n)
					break
				}
				k.Errorf(at, "%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
			}
			continue
		}
		profile.CheckNames(k.File, configfile.Item("devices", i)+".signals", d.Signals)
		d.Signals = signallist.Merge(d.Signals, list.Signals)
	}
}
