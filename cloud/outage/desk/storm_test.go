package desk

import (
	"fmt"
	"testing"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/test/await"
)

// However many there are, each outage has one alarm that asks for attention, and none has
// none.
func TestEachOutageHasOneAlarm(t *testing.T) {
	for _, n := range []int{1, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRoom(t, n)
			for f := range n {
				r.light(points(f, 4, 8)...)
				r.dark(points(f, 0, 4)...)
			}
			await.True(t, "all are announced", func() bool {
				list := r.list(t.Context(), true)
				told := 0
				for _, o := range list {
					if announced(o) {
						told++
					}
				}
				return told == n
			})
			list := r.alarms(true)
			if len(list) != n {
				t.Errorf("%d alarms for %d outages", len(list), n)
			}
			for _, a := range list {
				if a.Kind != alarm.OfCloud || a.Quiet() || a.Rule != alarm.OutageRule {
					t.Errorf("%+v", a)
				}
			}
			sum, err := Summarise(t.Context(), r.store)
			if err != nil || sum.Outages != int64(n) || sum.CustomersOut != 40*int64(n) || len(sum.Feeders) != n || sum.Unannounced != 0 {
				t.Errorf("%+v, %v", sum, err)
			}
		})
	}
}
