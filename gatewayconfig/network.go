package gatewayconfig

import "github.com/busbar/busbar/configfile"

// CheckNetwork adds to f what is wrong with the assets and the devices of c, as f has
// them under the same keys, apart from how devices are read. If c doesn't name the
// gateway, that may be one of the devices.
func (c *Config) CheckNetwork(f *configfile.File) {
	k := newChecker(f, c, "", nil)
	k.checkAssets()
	first := map[string]int{}
	for i, d := range c.Devices {
		k.checkPlace(configfile.Item("devices", i), i, d, first)
	}
}
