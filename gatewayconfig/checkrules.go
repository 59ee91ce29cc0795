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
	rules.Report(k.File, problems)
}
