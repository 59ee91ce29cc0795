package discovery

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/busbar/busbar/adapters/modbus"
)

// Units is which units are asked on an endpoint, in that order: those of a text like
// 1-20,33, which may be empty. Over TCP those come first by which a device is known
// that is there itself, 1, 0 and 255, and nothing follows them without a text. On
// lines, it means 1-247.
func Units(transport modbus.Transport, text string) ([]uint8, error) {
	if transport != modbus.TCP {
		all := fmt.Sprintf("%d-%d", modbus.FirstOnLine, modbus.LastOnLine)
		return modbus.ParseUnits(cmp.Or(text, all), modbus.FirstOnLine, modbus.LastOnLine)
	}
	itself := []uint8{1, 0, 255}
	if text == "" {
		return itself, nil
	}
	units, err := modbus.ParseUnits(text, 0, 255)
	if err != nil {
		return nil, err
	}
	units = slices.DeleteFunc(units, func(unit uint8) bool { return slices.Contains(itself, unit) })
	return append(itself, units...), nil
}
