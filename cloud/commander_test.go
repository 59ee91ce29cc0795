package cloud

import (
	"testing"

	"github.com/busbar/busbar/cloud/alarm"
)

// A gateway is told of the acknowledgement of its own alarms, while they are active.
func TestWhoIsToldOfAnAcknowledgement(t *testing.T) {
	for name, c := range map[string]struct {
		alarm alarm.Alarm
		told  int
	}{
		"its own":      {alarm.Alarm{ID: "a1", Active: true}, 1},
		"cleared":      {alarm.Alarm{ID: "a1"}, 0},
		"about it":     {alarm.Alarm{ID: "fleet-1", Active: true}, 0},
		"its refusals": {alarm.Alarm{ID: "a1", Rule: alarm.RefusedRule, Active: true}, 0},
	} {
		cloud := &Cloud{tell: make(chan alarm.Alarm, 1)}
		if cloud.acknowledged(c.alarm); len(cloud.tell) != c.told {
			t.Errorf("%s: %d told", name, len(cloud.tell))
		}
	}
}
