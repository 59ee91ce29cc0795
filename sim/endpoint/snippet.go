package endpoint

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/sim/devices"
)

// Snippet is the part of a gateway's configuration that reads everything there is. A
// unit is one device in it, so of several models one is read, and the others are named.
func (e *Endpoint) Snippet() string {
	var b strings.Builder
	b.WriteString("devices:\n")
	every := ""
	if e.config.Transport != modbus.TCP {
		every = ", poll_every: 10s"
	}
	parts := e.config.Product.Parts()
	first := 0
	if len(parts) > 1 && parts[0].Profile.Name == "sunspec/1" {
		first = 1 // the common model says only what it is
	}
	for _, unit := range e.Units() {
		part := parts[first]
		base := ""
		if part.Base != 0 {
			base = fmt.Sprintf(", base: %d", part.Base)
		}
		fmt.Fprintf(&b, "  - {id: %s-%d, modbus: {endpoint: %q, unit: %d%s}, profile: %s%s}\n",
			idOf(part), unit, e.URL(), unit, base, part.Profile.Name, every)
	}
	for i, part := range parts {
		if i != first {
			fmt.Fprintf(&b, "  # or base: %d and profile: %s\n", part.Base, part.Profile.Name)
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
