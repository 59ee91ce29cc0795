package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alertmanager"
	"github.com/busbar/busbar/cloud/outgoing"
)

// Alertmanager is told of what is active. The path of its API is added to URL.
type Alertmanager struct {
	outgoing.Server
	Match Match
}

const (
	alertsAtOnce = 500
	// expiry is after how long an Alertmanager takes an alert for resolved that isn't sent
	// again: the cloud may be away for that long.
	expiry = 5 * time.Minute
	// soonest is between two rounds, however fast alarms change.
	soonest = time.Second
)

// pusher sends what is active at each change of an alarm, and again each minute. All that
// it knows is what it has sent; what clears while the cloud is away expires.
type pusher struct {
	Alertmanager
	*Runner
	counters
	client *http.Client
	sent   map[string]alertmanager.Posted // by their labels
	ended  map[string]time.Time           // since when each of these has to be told as resolved
}

func newPusher(r *Runner, a Alertmanager) (*pusher, error) {
	client, err := a.Client()
	if err != nil {
		return nil, fmt.Errorf("notify: Alertmanager %s: %w", a.URL, err)
	}
	p := &pusher{Alertmanager: a, Runner: r, client: client, sent: map[string]alertmanager.Posted{}, ended: map[string]time.Time{},
		counters: counters{stats: Stats{Target: a.URL, Kind: "alertmanager"}}}
	p.URL = strings.TrimSuffix(a.URL, "/") + "/api/v2/alerts"
	return p, nil
}

func (p *pusher) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; {
		changed := p.cfg.Store.FactsChanged()
		err := p.round(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if n > 0 {
				p.cfg.Logger.Info("alerts can be sent to an Alertmanager again", "url", p.URL)
			}
			n = 0
			p.update(func(s *Stats) { s.Failing = time.Time{} })
			outgoing.Sleep(ctx, min(soonest, p.pace.again))
			timer := time.NewTimer(p.pace.again)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		if n == 0 {
			p.cfg.Logger.Warn("alerts can't be sent to an Alertmanager, trying again", "url", p.URL, "error", err)
		}
		p.update(func(s *Stats) {
			s.Failed++
			if s.Failing.IsZero() {
				s.Failing = time.Now()
			}
		})
		// What is active has to come before it expires, so it is never waited for long.
		outgoing.Sleep(ctx, min(p.pace.Wait(n, err), p.pace.again))
		n++
	}
}

// round sends all that is active, and what was and isn't any more.
func (p *pusher) round(ctx context.Context, now time.Time) error {
	list, err := alarm.Firing(ctx, p.cfg.Store)
	if err != nil {
		return err
	}
	firing := map[string]alertmanager.Posted{}
	for _, a := range list {
		// What comes from an Alertmanager doesn't go back there.
		if a.Kind == alarm.OfExternal || a.Quiet() || !p.Match.fits(a) {
			continue
		}
		alert := alertmanager.PostedOf(a, p.cfg.Console)
		alert.EndsAt = now.Add(expiry).UTC()
		if alert.StartsAt.After(now) {
			alert.StartsAt = now.UTC() // the clock of its gateway is ahead; an alert that ends before it starts is refused
		}
		key := alert.Labels.Key()
		if other, ok := firing[key]; ok && other.StartsAt.Before(alert.StartsAt) {
			alert.StartsAt = other.StartsAt
		}
		firing[key] = alert
	}
	alerts := []alertmanager.Posted{}
	for _, alert := range firing {
		alerts = append(alerts, alert)
	}
	for key, alert := range p.sent {
		if _, ok := firing[key]; ok {
			delete(p.ended, key)
			continue
		}
		since, ok := p.ended[key]
		if !ok {
			since = now
			p.ended[key] = now
		}
		if now.Sub(since) > expiry {
			delete(p.sent, key)
			delete(p.ended, key)
			continue
		}
		alert.EndsAt = since.UTC()
		alerts = append(alerts, alert)
	}
	if len(alerts) == 0 {
		return p.send(ctx, alerts) // whether it answers is known before there is an alarm
	}
	var failed error
	for part := range slices.Chunk(alerts, alertsAtOnce) {
		if err := p.send(ctx, part); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for _, alert := range part {
			key := alert.Labels.Key()
			if _, ok := firing[key]; ok {
				p.sent[key] = alert
			} else {
				delete(p.sent, key)
				delete(p.ended, key)
			}
		}
	}
	return failed
}

// send sends alerts. Those of a request that is refused are sent one by one, so that one
// of them doesn't keep the others back.
func (p *pusher) send(ctx context.Context, alerts []alertmanager.Posted) error {
	body, err := json.Marshal(alerts)
	if err != nil {
		return err
	}
	err = p.Post(ctx, p.client, http.Header{"Content-Type": {"application/json"}}, body)
	var f *outgoing.Failure
	switch {
	case err == nil:
		p.update(func(s *Stats) { s.Delivered += uint64(len(alerts)) })
		return nil
	case !errors.As(err, &f) || f.Code != http.StatusBadRequest || len(alerts) == 0:
		return err
	case len(alerts) == 1:
		p.cfg.Logger.Error("Alertmanager refuses an alert", "url", p.URL, "alarm", alerts[0].Annotations["alarm"], "error", err)
		p.update(func(s *Stats) { s.Refused++ })
		return nil
	}
	for i := range alerts {
		if err := p.send(ctx, alerts[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}
