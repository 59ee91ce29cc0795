// Package layout is what an image and the gateway that starts from it have to agree on.
package layout

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
)

const (
	// BootName and DataName are the names of the partitions.
	BootName = "busbar-boot"
	DataName = "busbar-data"
	// BootDir and DataDir are where a gateway has them.
	BootDir = "/boot"
	DataDir = "/var/lib/busbar"
	// ConfigDir is where it keeps the configuration that it has taken from the first.
	ConfigDir = DataDir + "/configuration"
	// ConfigName is the configuration's file in the first.
	ConfigName = "gateway.yaml"
	// LeastData is how small a partition for data may be, in bytes.
	LeastData = 128 << 20
	// BesideData is how much of a medium is left free at most when that partition is made, in
	// bytes: up to 1 MiB before it, and up to 2 MiB and a table behind it.
	BesideData = 4 << 20
)

// CheckPaths says what of a configuration would be gone at the next start of a flashed
// machine, which has only the memory beside its partitions.
func CheckPaths(c gatewayconfig.Config) error {
	for _, k := range []struct {
		name string
		path configfile.Path
	}{{"buffer.path", c.Buffer.Path}, {"gateway.key", c.Gateway.Key}} {
		if in, err := filepath.Rel(DataDir, k.path.In(BootDir)); err != nil || in == ".." || strings.HasPrefix(in, "../") {
			return fmt.Errorf("%s is %s: on a flashed machine only what is in %s can be written and outlives a start", k.name, k.path, DataDir)
		}
	}
	return nil
}
