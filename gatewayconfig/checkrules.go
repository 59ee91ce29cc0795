package gatewayconfig

import (
	"errors"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
)

// modelIsRight reports whether assets and devices are: a rule about a signal that
// isn't there yet would only be said to be wrong.
func (k checker) modelIsRight() bool {
	var found configfile.Errors
	errors.As(k.Err(), &found)
	for _, e := range found {
		if strings.Contains(e.Path, "].control") {
			continue // what may be written isn't part of it
		}
		for _, part := range []string{"", "gateway.id", "assets", "devices"} {
			if e.Path == part || part != "" && strings.HasPrefix(e.Path, part) {
				return false
			}
		}
	}
	return true
}

// checkRules compiles the rules against a configuration that has been filled.
func (k checker) checkRules() {
	_, problems := rules.Compile(k.config.Rules, k.config.Model())
	for _, p := range problems {
		path := configfile.Item("rules", p.Rule)
		if k.Broken(path+".use") || k.Broken(path+".on") || k.Broken(path+".with") {
			continue
		}
		if p.Field != "" {
			path += "." + p.Field
		}
		if p.Column > 0 {
			k.ErrorfIn(path, p.Column, "%s", p.Err)
		} else {
			k.Errorf(path, "%s", p.Err)
		}
	}
}
