package meter

import (
	"math"
	"slices"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
)

// disturbances are the counts of voltage sags and swells that a meter has told: by OBIS,
// 32.32.0 and 32.36.0 of the first phase, 52 and 72 of the others. Of two of the same, on
// several channels, the first counts.
func disturbances(told []obis.Register) (list []adapters.Disturbances) {
	for _, r := range told {
		d := adapters.Disturbances{Kind: telemetry.VoltageSag}
		switch c := r.Code; {
		case c.A != obis.Electricity || c.E != 0 || c.F != obis.Current || c.C%20 != 12 || c.C < 32 || c.C > 72:
			continue
		case c.D == 36:
			d.Kind = telemetry.VoltageSwell
		case c.D != 32:
			continue
		}
		count, number := r.Value.Float()
		if !number || !(count >= 0 && count < 1<<53) || count != math.Trunc(count) {
			continue
		}
		d.Phase, d.Count = string("ABC"[r.Code.C/20-1]), uint64(count)
		if !slices.ContainsFunc(list, func(o adapters.Disturbances) bool { return o.Kind == d.Kind && o.Phase == d.Phase }) {
			list = append(list, d)
		}
	}
	return list
}
