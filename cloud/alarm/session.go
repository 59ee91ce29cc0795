package alarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/retake"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

// session is what one run of the consumer knows, all of it from the database.
type session struct {
	*Runner
	topic   string
	topicID string
	offsets map[int32]int64
	ledger  *store.Ledger
	keys    *identity.Keys
	refused int // events in the quarantine for what their signatures are worth, about
}

// event is a new event of the records in hand, and where it was.
type event struct {
	telemetry.Event
	record record.Record
	arrival
}

// arrival is a record that was read on, or again: aside is then its row in the
// quarantine, and why it was put there.
type arrival struct {
	*kgo.Record
	aside int64
	was   store.Reason
}

func (s *session) take(ctx context.Context, records []*kgo.Record) error {
	arrivals := make([]arrival, len(records))
	for i, r := range records {
		arrivals[i].Record = r
	}
	return s.takeAll(ctx, arrivals, nil)
}

// retake takes records again. Those that the log has lost are noted as such.
func (s *session) retake(ctx context.Context, again []retake.Again) error {
	var arrivals []arrival
	var gone []int64
	for _, a := range again {
		if a.Record == nil {
			gone = append(gone, a.Aside.ID)
		} else {
			arrivals = append(arrivals, arrival{a.Record, a.Aside.ID, a.Aside.Reason})
		}
	}
	return s.takeAll(ctx, arrivals, gone)
}

func (s *session) takeAll(ctx context.Context, records []arrival, gone []int64) error {
	next := map[int32]int64{}
	var events []event
	var quarantined []store.Quarantined
	var refused []store.Refused
	var duplicates uint64
	ends := map[int64]store.QuarantineState{}
	for _, id := range gone {
		ends[id] = store.Gone
	}
	setAside := func(r arrival, rec record.Record, reason store.Reason, detail string, excerpt int) {
		delete(ends, r.aside)
		quarantined = append(quarantined, store.Quarantined{ID: r.aside, Consumer: Consumer, Topic: r.Topic, TopicID: s.topicID, Partition: r.Partition,
			Offset: r.Offset, Gateway: rec.Gateway, KeyID: rec.KeyID, Reason: reason, Detail: detail,
			Payload: r.Value[:min(len(r.Value), excerpt)], At: telemetry.MicrosOf(time.Now())})
	}
	for _, r := range records {
		if r.aside == 0 {
			next[r.Partition] = r.Offset + 1
		} else {
			ends[r.aside] = store.Taken
		}
		rec, err := record.ParseHeaders(log.Headers(r.Record), r.Value)
		if err != nil && !errors.Is(err, record.ErrSeal) {
			rec.Gateway = record.KeyGateway(r.Key)
			setAside(r, rec, store.BadHeaders, err.Error(), store.MaxRefusedBytes)
			continue
		}
		distrust, err := s.keys.Record(ctx, rec, err)
		if err != nil {
			return err
		}
		if distrust != nil {
			if s.refused < store.MostRefused || r.aside != 0 {
				setAside(r, rec, distrust.Reason, distrust.Detail, store.MaxRefusedBytes)
				s.refused++
			}
			if r.was != distrust.Reason {
				refused = append(refused, store.Refused{Gateway: distrust.Gateway, Reason: distrust.Reason, Records: 1,
					Last: telemetry.MicrosOf(time.Now()), Detail: distrust.Detail})
			}
			continue
		}
		e, reason, err := parse(rec)
		if err != nil {
			setAside(r, rec, reason, err.Error(), store.MaxQuarantinedBytes)
			continue
		}
		sum := rec.Checksum()
		verdict, err := s.ledger.Judge(ctx, rec.Identity, sum, false)
		if err != nil {
			return err
		}
		switch verdict {
		case store.New:
			events = append(events, event{e, rec, r})
		case store.Duplicate:
			duplicates++
		case store.Conflict:
			setAside(r, rec, store.IdentityConflict, fmt.Sprintf("record %s contradicts what was received before", rec.Identity), store.MaxQuarantinedBytes)
		}
		s.ledger.Note(rec.Identity, sum, false, verdict, telemetry.MicrosOf(r.Timestamp), telemetry.MicrosOf(time.Now()), r.aside == 0)
	}
	err := s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		if len(next) == 0 {
			// What is taken again is judged by what this consumer knows, and moves no offset.
			if err := t.Hold(Consumer, store.Share{}, map[string]map[int32]int64{s.topic: s.offsets}); err != nil {
				return err
			}
		}
		for p, n := range next {
			from, ok := s.offsets[p]
			if !ok {
				from = store.NoOffset
			}
			if err := t.Advance(Consumer, store.Partition{Topic: s.topic, TopicID: s.topicID, Number: p}, from, n); err != nil {
				return err
			}
		}
		if err := s.keys.Save(t); err != nil {
			return err
		}
		if err := t.SaveLedger(s.ledger); err != nil {
			return err
		}
		for _, e := range events {
			err := apply(t, e)
			if errors.Is(err, ErrOtherGateway) {
				setAside(e.arrival, e.record, store.IdentityConflict, fmt.Sprintf("%s: %v", e.Kind, err), store.MaxQuarantinedBytes)
			} else if err != nil {
				return err
			}
		}
		for _, q := range quarantined {
			if err := t.Quarantine(q); err != nil {
				return err
			}
		}
		now := telemetry.MicrosOf(time.Now())
		for id, state := range ends {
			if err := t.EndQuarantine(id, state, now); err != nil {
				return err
			}
		}
		for _, r := range refused {
			if err := t.CountRefused(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.ledger.Confirm()
	identity.Report(s.cfg.Logger, s.keys.Confirm())
	maps.Copy(s.offsets, next)
	s.report(records, duplicates, quarantined, ends)
	return nil
}

func (s *session) report(events []arrival, duplicates uint64, quarantined []store.Quarantined, ends map[int64]store.QuarantineState) {
	s.mu.Lock()
	for _, e := range events {
		if e.aside == 0 {
			s.stats.Events++
		}
	}
	s.stats.Duplicates += duplicates
	for _, q := range quarantined {
		if q.ID == 0 {
			s.stats.Quarantined[q.Reason]++
		}
	}
	for _, state := range ends {
		if state == store.Taken {
			s.stats.Retaken++
		} else {
			s.stats.Gone++
		}
	}
	s.mu.Unlock()
	if n := len(quarantined); n > 0 {
		q := quarantined[0]
		s.cfg.Logger.Warn("events quarantined", "count", n, "topic", q.Topic, "partition", q.Partition, "offset", q.Offset,
			"reason", string(q.Reason), "detail", q.Detail)
	}
}

func apply(t *store.Tx, e event) error {
	if err := notePresence(t, e); err != nil {
		return err
	}
	if err := noteEvidence(t, e); err != nil {
		return err
	}
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		if forgotten, err := t.BeyondExpected(e.record.Identity); forgotten || err != nil {
			return err // the next process has started without it
		}
		c := Change{Action: Raised, At: e.Time, Decided: e.Decided, Gateway: e.record.Gateway, Alarm: *e.Alarm}
		if e.Record != nil {
			c.Told = telemetry.MicrosOf(e.Timestamp)
		}
		if e.Kind == telemetry.AlarmCleared {
			c.Action = Cleared
		}
		_, err := change(t, e.Alarm.ID, c)
		return err
	case telemetry.AlarmCaptured:
		return keepCapture(t, e)
	case telemetry.GatewayStarted, telemetry.GatewayStopped:
		if e.Kind == telemetry.GatewayStarted && e.Lifecycle.Start == 1 && e.Time > 0 {
			if err := t.FirstStart(e.record.Gateway, e.Time); err != nil {
				return err
			}
		}
		for _, c := range e.Lifecycle.Committed {
			if err := t.Expect(e.record.Gateway, c); err != nil {
				return err
			}
		}
		if e.Kind == telemetry.GatewayStarted && e.Lifecycle.ActiveAlarms != nil {
			return reconcile(t, e)
		}
	case telemetry.SamplesLost:
		return t.DeclareLoss(e.record.Gateway, *e.Loss, e.Decided)
	case telemetry.SamplesCounted:
		return t.SaveAccount(e.record.Gateway, *e.Account)
	case telemetry.LinkChanged:
		return t.SaveLink(e.record.Gateway, *e.Link, e.Time)
	case telemetry.BufferDamaged:
		return raiseDamage(t, e)
	case telemetry.CounterRolledOver, telemetry.CounterReset:
		return t.SaveCounter(e.record.Gateway, e.Kind, *e.Counter)
	case telemetry.VoltageSag, telemetry.VoltageSwell:
		return t.SaveDisturbance(e.record.Gateway, e.Kind, *e.Disturbance, e.Time)
	case telemetry.ControlAttempted:
		return t.SaveControl(e.record.Identity, *e.Control, e.Decided)
	case telemetry.ConfigurationRolledBack:
		return raiseRolledBack(t, e)
	case telemetry.MasterMissed:
		return raiseMissed(t, e)
	case telemetry.UpdateConfirmed:
		return t.SaveUpdate(e.record.Gateway, *e.Update, true, e.Time)
	case telemetry.UpdateRolledBack:
		if err := t.SaveUpdate(e.record.Gateway, *e.Update, false, e.Time); err != nil {
			return err
		}
		return raiseUpdate(t, e)
	case telemetry.CommandAnswered:
		err := t.AnswerCommand(e.record.Gateway, *e.Answer, e.Decided)
		if errors.Is(err, store.ErrOthersCommand) {
			return fmt.Errorf("%w: %w", ErrOtherGateway, err)
		}
		return err
	}
	return nil
}

// DamagedRule is the rule of the alarms about files that a gateway set aside.
const DamagedRule = "buffer-damaged"

// raiseDamage raises an alarm about a file that was set aside.
func raiseDamage(t *store.Tx, e event) error {
	return raiseForPeople(t, e, telemetry.AlarmChange{
		ID: IDFor(e.record.Gateway, e.Event), Rule: DamagedRule, Asset: e.record.Gateway, Priority: telemetry.High,
		Summary: fmt.Sprintf("A file of the buffer of %s was set aside as unreadable: %s: %s", e.record.Gateway, e.Damage.File, e.Damage.Cause)})
}

// RolledBackRule is the rule of the alarms about configurations that stopped data.
const RolledBackRule = "configuration-rolled-back"

// raiseRolledBack raises an alarm about a configuration that a gateway has taken back.
func raiseRolledBack(t *store.Tx, e event) error {
	return raiseForPeople(t, e, telemetry.AlarmChange{
		ID: IDFor(e.record.Gateway, e.Event), Rule: RolledBackRule, Asset: e.record.Gateway, Priority: telemetry.Medium,
		Summary: fmt.Sprintf("%s tried another configuration for %s and went back: %s", e.record.Gateway, e.Configuration.By, e.Configuration.Cause)})
}

// MissedRule is the rule of the alarms about events that a control centre was never told.
const MissedRule = "master-missed"

// raiseMissed raises an alarm about events that a gateway couldn't tell a control centre.
func raiseMissed(t *store.Tx, e event) error {
	return raiseForPeople(t, e, telemetry.AlarmChange{
		ID: IDFor(e.record.Gateway, e.Event), Rule: MissedRule, Asset: e.record.Gateway, Priority: telemetry.Medium,
		Summary: fmt.Sprintf("%s hasn't told %s %d events, as too many waited", e.record.Gateway, e.Missed.Master, e.Missed.Count)})
}

// UpdateRule is the rule of the alarms about versions that a machine has left.
const UpdateRule = "update-rolled-back"

// raiseUpdate raises an alarm about a version that a machine has tried and left.
func raiseUpdate(t *store.Tx, e event) error {
	return raiseForPeople(t, e, telemetry.AlarmChange{
		ID: IDFor(e.record.Gateway, e.Event), Rule: UpdateRule, Asset: e.record.Gateway, Priority: telemetry.Medium,
		Summary: fmt.Sprintf("%s tried version %s and went back to %s: %s", e.record.Gateway, e.Update.Version, e.Update.From, e.Update.Cause)})
}

// staysOpen reports whether a rule's alarms have cleared when they are raised, and stay open
// until someone acknowledges them.
func staysOpen(rule string) bool {
	return rule == DamagedRule || rule == RolledBackRule || rule == UpdateRule || rule == MissedRule
}

// raiseForPeople raises an alarm that has cleared already, since nothing will clear
// it: it stays open until someone acknowledges it. What is told of twice has one.
func raiseForPeople(t *store.Tx, e event, alarm telemetry.AlarmChange) error {
	c := Change{Action: Raised, At: e.Time, Decided: max(e.Decided, 1), Gateway: e.record.Gateway, Alarm: alarm}
	known, err := find(t, c.Alarm.ID)
	if err != nil || known.ID != "" && known.Gateway == e.record.Gateway {
		return err
	}
	if _, err := change(t, c.Alarm.ID, c); err != nil {
		return err
	}
	c.Action = Cleared
	_, err = change(t, c.Alarm.ID, c)
	return err
}

// IDFor is the id of the alarm that the cloud raises because of an event about a damaged
// buffer, about a configuration or version that was taken back, or about what a control
// centre was never told; "" of others.
func IDFor(gateway string, e telemetry.Event) string {
	switch e.Kind {
	case telemetry.BufferDamaged:
		return damageID(gateway, e.Damage.File)
	case telemetry.ConfigurationRolledBack:
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", gateway, e.Configuration.After, e.Decided))
		return fmt.Sprintf("%s-%x", RolledBackRule, sum[:8])
	case telemetry.MasterMissed:
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", gateway, e.Missed.Master, e.Decided))
		return fmt.Sprintf("%s-%x", MissedRule, sum[:8])
	case telemetry.UpdateRolledBack:
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", gateway, e.Update.Version, e.Decided))
		return fmt.Sprintf("%s-%x", UpdateRule, sum[:8])
	}
	return ""
}

func damageID(gateway, file string) string {
	sum := sha256.Sum256([]byte(gateway + "\x00" + file))
	return fmt.Sprintf("buffer-damaged-%x", sum[:8])
}
