package alarm

import (
	"context"
	"fmt"

	"github.com/busbar/busbar/cloud/store"
)

// Capture is what was measured before and after an alarm was raised. ErrNotFound
// without such an alarm, store.ErrNoCapture without samples.
func Capture(ctx context.Context, s *store.Store, id string) (c store.Capture, err error) {
	err = s.Ask(ctx, func(t *store.Tx) error {
		a, err := find(t, id)
		if err != nil {
			return err
		}
		if a.ID == "" {
			return ErrNotFound
		}
		c, err = t.Capture(a.Gateway, id)
		return err
	})
	if err != nil {
		return store.Capture{}, fmt.Errorf("alarm %s: capture: %w", id, err)
	}
	return c, nil
}

// keepCapture keeps it beside its alarm, which may come later, and tells whoever
// follows the alarm that it is there.
func keepCapture(t *store.Tx, e event) error {
	a, err := find(t, e.Capture.Alarm)
	if err != nil {
		return err
	}
	if a.ID != "" && a.Gateway != e.record.Gateway {
		return ErrOtherGateway
	}
	if err := t.SaveCapture(e.record.Gateway, *e.Capture, e.Decided); err != nil || a.ID == "" {
		return err
	}
	a.Captured = true
	_, err = t.AddFact(FactKind, e.Decided, a)
	return err
}
