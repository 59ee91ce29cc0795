package alarm

import (
	"context"
	"fmt"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// latest is the last instant that RFC 3339 can write.
var latest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// Moment is a time of an alarm as RFC 3339 can write it, whatever a gateway's clock says:
// from 1970 to 9999.
func Moment(at telemetry.Micros) time.Time {
	return min(max(at, 0), telemetry.MicrosOf(latest)).Time()
}

// Firing reports whether another system is to take the alarm for one that goes on: it is
// active, or it is about something that nothing will clear and nobody has taken note of.
func (a Alarm) Firing() bool {
	return a.Active || !a.Acknowledged && a.OfItsGateway() && (a.Rule == DamagedRule || a.Rule == RolledBackRule)
}

// Firing lists the alarms that are, without the values that raised them, those raised
// last first.
func Firing(ctx context.Context, s *store.Store) (list []Alarm, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		open, err := readBrief(t, selectAlarm+`WHERE (a.active OR NOT a.acknowledged) AND `+t.Seen("a.gateway")+` ORDER BY a.raised DESC, a.id`)
		for _, a := range open {
			if a.Firing() {
				list = append(list, a)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list those that go on: %w", err)
	}
	return list, nil
}
