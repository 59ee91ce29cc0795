package devices

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar/busbar/configfile"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
)

const sunSpec = "sunspec/"

// LoadProduct is what one or more profiles describe: those that come with Busbar by
// their names, others by the names of their files, which end in .yaml. SunSpec models
// follow each other, after the common one, sunspec/1, which every such device has.
func LoadProduct(names ...string) (*Product, error) {
	ofSunSpec := func(name string) bool { return strings.HasPrefix(name, sunSpec) }
	models := slices.ContainsFunc(names, ofSunSpec)
	if models && slices.ContainsFunc(names, func(name string) bool { return !ofSunSpec(name) }) {
		return nil, errors.New("SunSpec models and other profiles are different devices, expected one of both")
	}
	if common := sunSpec + "1"; models && names[0] != common {
		names = append([]string{common}, names...)
	}
	var profiles []profile.Profile
	for _, name := range names {
		p, err := loadProfile(name)
		if err != nil {
			return nil, err
		}
		if p.By() != profile.Modbus {
			return nil, fmt.Errorf("profile %s is read by %s, expected one of what is read by %s", name, p.By(), profile.Modbus)
		}
		profiles = append(profiles, p)
	}
	if models {
		return NewSunSpec(profiles...)
	}
	var parts []Part
	for _, p := range profiles {
		parts = append(parts, Part{Profile: p})
	}
	return NewProduct(parts...)
}

func loadProfile(name string) (profile.Profile, error) {
	if strings.HasSuffix(name, ".yaml") {
		p, err := profile.LoadFile(name)
		p.Name = name
		return p, err
	}
	library := firmware.Profiles()
	p, err := library.Load(name)
	if errors.Is(err, profile.ErrUnknown) {
		if nearest := configfile.Nearest(name, library.Names()); nearest != "" {
			return p, fmt.Errorf("there is no profile %q, did you mean %q?", name, nearest)
		}
		return p, fmt.Errorf("there is no profile %q, expected one that busbar profile list prints, or a file that ends in .yaml", name)
	}
	return p, err
}
