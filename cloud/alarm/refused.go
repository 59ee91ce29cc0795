package alarm

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// RefusedRule is the rule of the alarms about records that were refused for what
// their signatures are worth: one for a gateway and a reason, however many
// records there are. It clears when there were none for a while.
const RefusedRule = "record-refused"

const refusedQuiet = 10 * time.Minute

// tellRefused raises, updates and clears these alarms by what has been counted. A
// summary is told anew each time that its count has doubled.
func tellRefused(ctx context.Context, s *store.Store, now time.Time) error {
	list, err := s.Refused(ctx)
	if err != nil {
		return err
	}
	due := false
	for _, r := range list {
		due = due || doubled(r) || quiet(r, now)
	}
	if !due {
		return nil
	}
	return s.Write(ctx, func(t *store.Tx) error {
		list, err := t.Refused()
		if err != nil {
			return err
		}
		for _, r := range list {
			if doubled(r) || quiet(r, now) && r.Told < r.Records {
				if err := tell(t, &r, now); err != nil {
					return err
				}
			}
			if quiet(r, now) {
				if _, err := change(t, r.Alarm, Change{Action: Cleared, At: telemetry.MicrosOf(now), Gateway: r.Gateway, By: "cloud"}); err != nil {
					return err
				}
				if err := t.ForgetRefused(r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func doubled(r store.Refused) bool { return r.Told == 0 || r.Records >= 2*r.Told }

func quiet(r store.Refused, now time.Time) bool {
	return telemetry.MicrosOf(now).Sub(r.Last) >= refusedQuiet
}

// tell raises the alarm or, if there is one, brings its summary up to date.
func tell(t *store.Tx, r *store.Refused, now time.Time) error {
	summary := fmt.Sprintf("Records of gateway %s are refused (%s): %d so far, the last because %s", r.Gateway, r.Reason, r.Records, r.Detail)
	raising := r.Alarm == ""
	if raising {
		r.Alarm = "refused-" + rand.Text()
	}
	r.Told = r.Records
	if err := t.TellRefused(*r); err != nil {
		return err
	}
	if raising {
		_, err := change(t, r.Alarm, Change{Action: Raised, At: r.First, Decided: telemetry.MicrosOf(now), Gateway: r.Gateway, By: "cloud",
			Alarm: telemetry.AlarmChange{ID: r.Alarm, Rule: RefusedRule, Asset: r.Gateway, Priority: telemetry.High, Summary: summary}})
		return err
	}
	a, err := find(t, r.Alarm)
	if err != nil {
		return err
	}
	a.Summary = summary
	if err := save(t, a, false); err != nil {
		return err
	}
	_, err = t.AddFact(FactKind, telemetry.MicrosOf(now), a)
	return err
}
