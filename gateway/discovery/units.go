package discovery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/adapters/modbus"
)

// The units that a line has: 0 is for all of them together, and from 248 on the
// numbers are reserved (Modbus over Serial Line V1.02, 2.2).
const (
	firstOnLine = 1
	lastOnLine  = 247
)

// Units is which units are asked on an endpoint, in that order: those of a text like
// 1-20,33, which may be empty. Over TCP those come first by which a device is known
// that is there itself, 1, 0 and 255, and nothing follows them without a text. On
// lines, it means 1-247.
func Units(transport modbus.Transport, text string) ([]uint8, error) {
	var units []uint8
	add := func(unit int) {
		if !slices.Contains(units, uint8(unit)) {
			units = append(units, uint8(unit))
		}
	}
	least, most := 0, 255
	if transport == modbus.TCP {
		add(1)
		add(0)
		add(255)
	} else {
		least, most = firstOnLine, lastOnLine
		if text == "" {
			text = fmt.Sprintf("%d-%d", least, most)
		}
	}
	if text == "" {
		return units, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(strings.TrimSpace(from))
		last := first
		if err == nil && ranged {
			last, err = strconv.Atoi(strings.TrimSpace(to))
		}
		if err != nil || first < least || last > most || last < first {
			return nil, fmt.Errorf("units %q, expected numbers from %d to %d, like 1-20,33", part, least, most)
		}
		for unit := first; unit <= last; unit++ {
			add(unit)
		}
	}
	return units, nil
}
