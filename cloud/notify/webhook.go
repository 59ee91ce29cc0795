package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Webhook is told of each change of an alarm by Standard Webhooks.
type Webhook struct {
	Name string // by which it is known again after a restart
	outgoing.Server
	SecretFile string
	Match      Match
	Changes    []alarm.Action // none: all
}

// Version is that of Message.
const Version = 1

// Message is the body of a webhook.
type Message struct {
	Version   int       `json:"version"`
	Type      string    `json:"type"`      // alarm.raised, alarm.cleared, alarm.acknowledged or alarm.updated
	Timestamp time.Time `json:"timestamp"` // of the change, as Data has it
	Data      Data      `json:"data"`
}

// Data is a change and the alarm after it.
type Data struct {
	Seq     int64            `json:"seq"` // rises from change to change, with gaps
	At      telemetry.Micros `json:"at_us"`
	By      string           `json:"by"`
	Comment string           `json:"comment"`
	Alarm   alarm.Alarm      `json:"alarm"`
}

func messageOf(c alarm.Told) Message {
	return Message{Version, "alarm." + string(c.Action), c.At.Moment(), Data{c.Seq, c.At, c.By, c.Comment, c.Alarm}}
}

// messageID is the same at every attempt. It names more than the change's number: a
// database that was restored gives those since the backup to others. A dot would end it in
// what is signed.
func messageID(c alarm.Told) string {
	return fmt.Sprintf("%s-%d-%s-%d", c.Alarm.ID, c.Seq, c.Action, int64(c.At))
}

type hook struct {
	Webhook
	*Runner
	counters
	client *http.Client
	at     store.NotifyTarget
	late   time.Time // when it was last said that a change waits for long
}

func newHook(r *Runner, w Webhook) (*hook, error) {
	client, err := w.Client()
	if err == nil {
		_, err = secrets(w.SecretFile)
	}
	if err != nil {
		return nil, fmt.Errorf("notify: webhook %s: %w", w.Name, err)
	}
	return &hook{Webhook: w, Runner: r, client: client, counters: counters{stats: Stats{Target: w.Name, Kind: "webhook"}}}, nil
}

const (
	changesAtOnce = 100
	lookEvery     = time.Minute
	moveTime      = 10 * time.Second
)

func (h *hook) run(ctx context.Context) {
	for ctx.Err() == nil {
		h.untilItWorks(ctx, "webhook "+h.Name, func() (err error) {
			h.at, err = h.cfg.Store.NotifyTarget(ctx, h.Name)
			return err
		})
		h.setFailing(h.at.Failing)
		err := h.follow(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, store.ErrFenced): // another process has told it
			outgoing.Sleep(ctx, time.Second)
		default:
			h.cfg.Logger.Error("webhook stopped, trying again", "target", h.Name, "error", err)
			outgoing.Sleep(ctx, 2*time.Second)
		}
	}
}

// follow delivers what comes, until ctx ends or the database fails, or another process
// has told the target of something.
func (h *hook) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := h.cfg.Store.FactsChanged()
		list, err := alarm.Changes(ctx, h.cfg.Store, h.at.After, changesAtOnce)
		if err != nil {
			return err
		}
		for _, c := range list {
			if err := h.take(ctx, c); err != nil {
				return err
			}
		}
		if len(list) > 0 {
			// What the target isn't told of is passed over here, in one step.
			if last := list[len(list)-1].Seq; last > h.at.After {
				if err := h.move(ctx, store.NotifyTarget{Name: h.Name, After: last}); err != nil {
					return err
				}
			}
			continue
		}
		timer := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	return ctx.Err()
}

func (h *hook) take(ctx context.Context, c alarm.Told) error {
	if !h.Match.fits(c.Alarm) || len(h.Changes) > 0 && !slices.Contains(h.Changes, c.Action) {
		return nil
	}
	body, err := json.Marshal(messageOf(c))
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := h.deliver(ctx, messageID(c), body)
		var f *outgoing.Failure
		switch {
		case err == nil:
			if n > 0 || h.at.Failing != 0 {
				h.cfg.Logger.Info("webhook delivered again", "target", h.Name, "seq", c.Seq)
			}
			h.update(func(s *Stats) { s.Delivered++ })
			return h.move(ctx, store.NotifyTarget{Name: h.Name, After: c.Seq})
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &f) && f.Final:
			h.cfg.Logger.Error("webhook refused for good", "target", h.Name, "seq", c.Seq, "alarm", c.Alarm.ID, "change", string(c.Action), "error", err)
			h.update(func(s *Stats) { s.Refused++ })
			return h.move(ctx, store.NotifyTarget{Name: h.Name, After: c.Seq}, store.Refusal{Fact: c.Seq, At: telemetry.MicrosOf(time.Now()), Cause: err.Error()})
		}
		h.update(func(s *Stats) { s.Failed++ })
		if err := h.fails(ctx, c, n, err); err != nil {
			return err
		}
		outgoing.Sleep(ctx, h.pace.Wait(n, err))
	}
}

func (h *hook) deliver(ctx context.Context, id string, body []byte) error {
	keys, err := secrets(h.SecretFile)
	if err != nil {
		return &outgoing.Failure{Err: err}
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", now)
	header.Set("webhook-signature", sign(keys, id, now, body))
	return h.Post(ctx, h.client, header, body)
}

// fails keeps since when, and says so once, and again for each day.
func (h *hook) fails(ctx context.Context, c alarm.Told, n int, cause error) error {
	now := time.Now()
	if h.at.Failing == 0 {
		if err := h.move(ctx, store.NotifyTarget{Name: h.Name, After: h.at.After, Failing: telemetry.MicrosOf(now)}); err != nil {
			return err
		}
	}
	since := h.at.Failing.Time()
	if n == 0 {
		h.cfg.Logger.Warn("webhook can't be delivered, trying again", "target", h.Name, "seq", c.Seq, "since", since, "error", cause)
	}
	if now.Sub(since) > h.pace.late && now.Sub(h.late) > h.pace.late {
		h.late = now
		h.cfg.Logger.Error("a webhook has waited for long: its target is far behind", "target", h.Name, "since", since, "error", cause)
	}
	return nil
}

// move keeps how far the target has been told, also of what was delivered while ctx ended.
func (h *hook) move(ctx context.Context, to store.NotifyTarget, refused ...store.Refusal) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), moveTime)
	defer cancel()
	if err := h.cfg.Store.MoveNotifyTarget(ctx, h.at, to, refused...); err != nil {
		return err
	}
	h.at = to
	h.setFailing(to.Failing)
	return nil
}

func (h *hook) setFailing(since telemetry.Micros) {
	h.update(func(s *Stats) {
		s.Failing = time.Time{}
		if since != 0 {
			s.Failing = since.Time()
		}
	})
}
