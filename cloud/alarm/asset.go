package alarm

import (
	"context"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
)

// ActiveAt is the active alarms of an asset, those raised last first, at most so many.
func ActiveAt(ctx context.Context, s *store.Store, asset string, most int) (alarms []Alarm, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		alarms, err = read(t, selectAlarm+`WHERE a.active AND a.asset = ? AND `+Seen(t)+` ORDER BY a.raised DESC, a.id DESC LIMIT ?`, asset, most)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: list those of asset %q: %w", asset, err)
	}
	return alarms, nil
}
