package gatewayconfig

import "github.com/busbar/busbar/configfile"

// CheckNetwork adds to f what is wrong with the assets and the devices of c, as f has
// them under the same keys, apart from how devices are read.
func (c *Config) CheckNetwork(f *configfile.File) {
	k := newChecker(f, c, "", nil)
	k.checkAssets()
	first := map[string]int{}
	for i, d := range c.Devices {
		path := configfile.Item("devices", i)
		k.fleetName(path+".id", d.ID)
		if j, twice := first[d.ID]; twice && d.ID != "" {
			k.Errorf(path+".id", "%q is devices[%d] already, expected an id of its own", d.ID, j)
		} else {
			first[d.ID] = i
		}
		if k.Has(path + ".asset") {
			k.assetExists(path+".asset", d.Asset)
		}
		switch d.PoweredBy {
		case Measured, Auxiliary, Unknown:
		default:
			k.Errorf(path+".powered_by", "%q, expected %s, %s or %s", d.PoweredBy, Measured, Auxiliary, Unknown)
		}
		k.name(path+".supply", d.Supply)
	}
}
