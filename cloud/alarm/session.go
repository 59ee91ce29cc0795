package alarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/busbar/busbar/cloud/identity"
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
}

// event is a new event of the records in hand, and where it was.
type event struct {
	telemetry.Event
	record.Identity
	record *kgo.Record
}

func (s *session) take(ctx context.Context, records []*kgo.Record) error {
	next := map[int32]int64{}
	var events []event
	var quarantined []store.Quarantined
	var refused []store.Refused
	var duplicates uint64
	refuse := func(r *kgo.Record, reason store.Reason, cause error) {
		quarantined = append(quarantined, store.Quarantined{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
			Reason: reason, Detail: cause.Error(), Payload: store.Excerpt(r.Value), At: telemetry.MicrosOf(time.Now())})
	}
	for _, r := range records {
		next[r.Partition] = r.Offset + 1
		rec, e, reason, err := parse(r)
		if err != nil && !errors.Is(err, record.ErrSeal) {
			refuse(r, reason, err)
			continue
		}
		distrust, err := s.keys.Record(ctx, rec, err)
		if err != nil {
			return err
		}
		if distrust != nil {
			now := telemetry.MicrosOf(time.Now())
			quarantined = append(quarantined, store.Quarantined{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
				Reason: distrust.Reason, Detail: distrust.Detail, Payload: r.Value[:min(len(r.Value), store.MaxRefusedBytes)], At: now})
			refused = append(refused, store.Refused{Gateway: distrust.Gateway, Reason: distrust.Reason, Records: 1, Last: now, Detail: distrust.Detail})
			continue
		}
		sum := rec.Checksum()
		verdict, err := s.ledger.Judge(ctx, rec.Identity, sum)
		if err != nil {
			return err
		}
		switch verdict {
		case store.New:
			events = append(events, event{e, rec.Identity, r})
		case store.Duplicate:
			duplicates++
		case store.Conflict:
			refuse(r, store.IdentityConflict, fmt.Errorf("record %s contradicts what was received before", rec.Identity))
		}
		s.ledger.Note(rec.Identity, sum, verdict, telemetry.MicrosOf(r.Timestamp), telemetry.MicrosOf(time.Now()))
	}
	err := s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		for p, n := range next {
			from, ok := s.offsets[p]
			if !ok {
				from = store.NoOffset
			}
			if err := t.Advance(consumer, store.Partition{Topic: s.topic, TopicID: s.topicID, Number: p}, from, n); err != nil {
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
				refuse(e.record, store.IdentityConflict, fmt.Errorf("%s: %w", e.Kind, err))
			} else if err != nil {
				return err
			}
		}
		for _, q := range quarantined {
			if err := t.Quarantine(q); err != nil {
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
	s.report(uint64(len(records)), duplicates, quarantined)
	return nil
}

func (s *session) report(events, duplicates uint64, quarantined []store.Quarantined) {
	s.mu.Lock()
	s.stats.Events += events
	s.stats.Duplicates += duplicates
	for _, q := range quarantined {
		s.stats.Quarantined[q.Reason]++
	}
	s.mu.Unlock()
	if n := len(quarantined); n > 0 {
		q := quarantined[0]
		s.cfg.Logger.Warn("events quarantined", "count", n, "topic", q.Topic, "partition", q.Partition, "offset", q.Offset,
			"reason", string(q.Reason), "detail", q.Detail)
	}
}

func apply(t *store.Tx, e event) error {
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		if forgotten, err := t.BeyondExpected(e.Identity); forgotten || err != nil {
			return err // the next process has started without it
		}
		c := Change{Action: Raised, At: e.Time, Decided: e.Decided, Gateway: e.Gateway, Alarm: *e.Alarm}
		if e.Kind == telemetry.AlarmCleared {
			c.Action = Cleared
		}
		_, err := change(t, e.Alarm.ID, c)
		return err
	case telemetry.GatewayStarted, telemetry.GatewayStopped:
		if e.Kind == telemetry.GatewayStarted && e.Lifecycle.Start == 1 && e.Time > 0 {
			if err := t.FirstStart(e.Gateway, e.Time); err != nil {
				return err
			}
		}
		for _, c := range e.Lifecycle.Committed {
			if err := t.Expect(e.Gateway, c); err != nil {
				return err
			}
		}
		if e.Kind == telemetry.GatewayStarted && e.Lifecycle.ActiveAlarms != nil {
			return reconcile(t, e)
		}
	case telemetry.SamplesLost:
		return t.DeclareLoss(e.Gateway, *e.Loss, e.Decided)
	case telemetry.SamplesCounted:
		return t.SaveAccount(e.Gateway, *e.Account)
	case telemetry.LinkChanged:
		return t.SaveLink(e.Gateway, *e.Link, e.Time)
	case telemetry.BufferDamaged:
		return raiseDamage(t, e)
	case telemetry.CommandAnswered:
		err := t.AnswerCommand(e.Gateway, *e.Answer, e.Decided)
		if errors.Is(err, store.ErrOthersCommand) {
			return fmt.Errorf("%w: %w", ErrOtherGateway, err)
		}
		return err
	}
	return nil
}

// DamagedRule is the rule of the alarms about files that a gateway set aside.
const DamagedRule = "buffer-damaged"

// raiseDamage raises an alarm that has cleared already, since nothing will clear
// it: it stays open until someone acknowledges it. A file that is told of twice
// has one.
func raiseDamage(t *store.Tx, e event) error {
	c := Change{Action: Raised, At: e.Time, Decided: max(e.Decided, 1), Gateway: e.Gateway, Alarm: telemetry.AlarmChange{
		ID: damageID(e.Gateway, e.Damage.File), Rule: DamagedRule, Asset: e.Gateway, Priority: telemetry.High,
		Summary: fmt.Sprintf("A file of the buffer of %s was set aside as unreadable: %s: %s", e.Gateway, e.Damage.File, e.Damage.Cause)}}
	known, err := find(t, c.Alarm.ID)
	if err != nil || known.ID != "" && known.Gateway == e.Gateway {
		return err
	}
	if _, err := change(t, c.Alarm.ID, c); err != nil {
		return err
	}
	c.Action = Cleared
	_, err = change(t, c.Alarm.ID, c)
	return err
}

func damageID(gateway, file string) string {
	sum := sha256.Sum256([]byte(gateway + "\x00" + file))
	return fmt.Sprintf("buffer-damaged-%x", sum[:8])
}
