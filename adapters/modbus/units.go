package modbus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The units that a line has: 0 is for all of them together, and from 248 on the
// numbers are reserved (Modbus over Serial Line V1.02, 2.2).
const (
	FirstOnLine = 1
	LastOnLine  = 247
)

// ParseUnits reads unit identifiers like 1-20,33, from least to most, in their order
// and each once.
func ParseUnits(text string, least, most uint8) ([]uint8, error) {
	var units []uint8
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(strings.TrimSpace(from))
		last := first
		if err == nil && ranged {
			last, err = strconv.Atoi(strings.TrimSpace(to))
		}
		if err != nil || first < int(least) || last > int(most) || last < first {
			return nil, fmt.Errorf("units %q, expected numbers from %d to %d, like 1-20,33", part, least, most)
		}
		for unit := first; unit <= last; unit++ {
			if !slices.Contains(units, uint8(unit)) {
				units = append(units, uint8(unit))
			}
		}
	}
	return units, nil
}
