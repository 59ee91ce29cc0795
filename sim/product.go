package sim

import (
	"cmp"
	"fmt"
	"strings"

	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/sim/devices"
)

// product is what the device has in its registers.
func (d Device) product() (*devices.Product, error) {
	if len(d.SunSpec) == 0 {
		p, err := load(cmp.Or(d.Product, "eastron/sdm630"))
		if err != nil {
			return nil, err
		}
		return devices.NewProduct(devices.Part{Profile: p})
	}
	var models []profile.Profile
	for _, id := range d.SunSpec {
		p, err := load(fmt.Sprintf("sunspec/%d", id))
		if err != nil {
			return nil, err
		}
		models = append(models, p)
	}
	return devices.NewSunSpec(models...)
}

func load(name string) (profile.Profile, error) {
	if strings.HasSuffix(name, ".yaml") {
		return profile.LoadFile(name)
	}
	return firmware.Profiles().Load(name)
}
