package cloud

import (
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
)

// SignalChoice is the signals that fit each of the lists that are given. In each name *
// is any text.
type SignalChoice struct {
	// Names of gateways. Example: [north-*].
	Gateway []string `yaml:"gateway"`

	// Names of devices.
	Device []string `yaml:"device"`

	// Names of assets.
	Asset []string `yaml:"asset"`

	// Names of signals. Example: [PhV.*, TotW].
	Name []string `yaml:"name"`
}

// choices are the signals as the store has them.
func choices(list []SignalChoice) (choices []store.Choice) {
	for _, s := range list {
		choices = append(choices, store.Choice(s))
	}
	return choices
}

// checkSignals checks a list at a path.
func checkSignals(f *configfile.File, path string, list []SignalChoice) {
	for i, c := range list {
		checkPatterns(f, configfile.Item(path, i), map[string][]string{"gateway": c.Gateway, "device": c.Device, "asset": c.Asset, "name": c.Name})
	}
}

// checkPatterns checks the lists of names below the value at a path.
func checkPatterns(f *configfile.File, at string, lists map[string][]string) {
	for key, list := range lists {
		for i, pattern := range list {
			if pattern == "" {
				f.Errorf(configfile.Item(at+"."+key, i), "%q, expected a name, in which * is any text", pattern)
			}
		}
	}
}
