package alarm

import (
	"context"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
)

// Firing reports whether another system is to take the alarm for one that goes on: it is
// active, or it is about something that nothing will clear and nobody has taken note of.
// It may be Quiet.
func (a Alarm) Firing() bool {
	return a.Active || !a.Acknowledged && a.OfItsGateway() && staysOpen(a.Rule)
}

// Firing lists the alarms that are, without the values that raised them, those raised
// last first.
func Firing(ctx context.Context, s *store.Store) (list []Alarm, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		open, err := readBrief(t, selectAlarm+`WHERE (a.active OR NOT a.acknowledged) AND `+Seen(t)+` ORDER BY a.raised DESC, a.id`)
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
