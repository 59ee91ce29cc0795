package layout

import (
	"testing"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
)

func TestWhatAFlashedMachineWouldForget(t *testing.T) {
	for path, fits := range map[configfile.Path]bool{"/var/lib/busbar": true, "/var/lib/busbar/buffer": true, "buffer": false, "/data": false, "/var/lib/busbar2": false, "/var/lib/busbar/../other": false} {
		var c gatewayconfig.Config
		c.Buffer.Path, c.Gateway.Key = path, "/var/lib/busbar/gateway.key"
		if err := CheckPaths(c); (err == nil) != fits {
			t.Errorf("%s: %v", path, err)
		}
	}
}
