package alarm

import (
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// An alarm that is raised chatterRaises times within chatterSpan chatters (ISA-18.2).
const (
	chatterRaises = 3
	chatterSpan   = 60 * time.Second
)

// noteChatter says of an alarm that is being raised when its condition was last found to
// chatter.
func noteChatter(t *store.Tx, a *Alarm, at telemetry.Micros) error {
	var earlier int
	var last telemetry.Micros
	of := `FROM (SELECT id, chattered FROM alarm WHERE ` + ofCondition + ` ORDER BY raised DESC LIMIT ?) a`
	args := append(a.condition().args(), chatterRaises+1)
	if err := t.QueryRow(`SELECT COALESCE(MAX(a.chattered), 0) `+of, args, &last); err != nil {
		return err
	}
	err := t.QueryRow(`SELECT COUNT(*) `+of+` JOIN alarm_event e ON e.alarm = a.id WHERE e.action = 'raised' AND e.told > ? AND e.told <= ?`,
		append(args, int64(at)-chatterSpan.Microseconds(), int64(at)), &earlier)
	if err != nil {
		return err
	}
	if a.Chattered = last; earlier+1 >= chatterRaises {
		a.Chattered = at
	}
	return nil
}
