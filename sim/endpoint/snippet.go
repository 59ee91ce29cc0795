package endpoint

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/sim/devices"
)

// Snippet is the part of a gateway's configuration that reads everything there is.
func (e *Endpoint) Snippet() string {
	var b strings.Builder
	b.WriteString("devices:\n")
	every := ""
	if e.config.Transport != modbus.TCP {
		every = ", poll_every: 10s"
	}
	for _, unit := range e.Units() {
		for _, part := range e.config.Product.Parts() {
			base := ""
			if part.Base != 0 {
				base = fmt.Sprintf(", base: %d", part.Base)
			}
			fmt.Fprintf(&b, "  - {id: %s-%d, modbus: {endpoint: %q, unit: %d%s}, profile: %s%s}\n",
				idOf(part), unit, e.URL(), unit, base, part.Profile.Name, every)
		}
	}
	return b.String()
}

var notInID = regexp.MustCompile(`[^a-z0-9]+`)

func idOf(part devices.Part) string {
	name := strings.TrimSuffix(part.Profile.Name, ".yaml")
	if !strings.HasPrefix(name, "sunspec/") {
		name = path.Base(name)
	}
	id := strings.Trim(notInID.ReplaceAllString(strings.ToLower(name), "-"), "-")
	return id[:min(len(id), 50)]
}
