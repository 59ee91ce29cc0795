package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
)

// Source is where a channel is, and how it is reached.
type Source struct {
	Channel string // https://host/path; the signature is beside it, with .minisig behind its name
	Client  *http.Client
	Every   time.Duration // how often it is looked at, more or less
}

// soon is how often it is looked whether a window has come.
const soon = time.Minute

// follow looks at the channel until ctx ends.
func (u *Updater) follow(ctx context.Context, g Gateway, p Policy) {
	wait := rand.N(p.Source.Every/2 + 1) // a site that comes back has many gateways that do
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		waiting, err := u.check(ctx, g, p)
		if ctx.Err() != nil {
			return
		}
		u.note(err)
		wait = p.Source.Every*3/4 + rand.N(p.Source.Every/2+1)
		if waiting {
			wait = min(wait, soon)
		}
		if p, is := errors.AsType[passing](err); is {
			wait = min(wait, p.again)
		}
		if b, is := errors.AsType[busy](err); is {
			wait = b.rest + rand.N(b.rest/4) // not all that were sent away at once
		}
	}
}

// note says what is wrong with updates, once. That a version is refused isn't a problem
// beside the refusal.
func (u *Updater) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != u.said && err != nil {
		u.o.Log.Error("no update", "error", err)
	}
	u.said = text
	if _, is := errors.AsType[refused](err); is {
		text = ""
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.problem = text
}

// refused is the error of a version that isn't installed, which is shown as a Refusal.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// passing is an error that may be gone at another time.
type passing struct {
	error
	again time.Duration
}

func (p passing) Unwrap() error { return p.error }

// refusal is why what a channel offered wasn't installed. What is for good holds until the
// channel is signed anew, and what may pass for a while, which is longer each time: it isn't
// fetched and written again and again.
type refusal struct {
	bundle bundle.Digest
	issued time.Time
	err    error
	times  int
	until  time.Time // unless it is for good
}

func (r refusal) holds(d bundle.Digest, issued, now time.Time) bool {
	switch {
	case r.err == nil || r.bundle != d:
		return false
	case IsUnfit(r.err):
		return r.issued.Equal(issued)
	}
	return now.Before(r.until)
}

// longestRest is how long a fault lasts at most before what a channel offers is tried again.
const longestRest = 12 * time.Hour

// refuse notes why a version isn't installed.
func (u *Updater) refuse(d bundle.Digest, issued time.Time, err error, now time.Time) {
	times := 1
	if u.fault.bundle == d {
		times += u.fault.times
	}
	u.fault = refusal{bundle: d, issued: issued, err: err, times: times, until: now.Add(min(longestRest, soon<<min(times, 10)))}
}

// notInstalled says that what a channel offers isn't installed.
func (u *Updater) notInstalled(version string, now time.Time) error {
	r := &Refusal{Version: version, Reason: u.fault.err.Error(), Final: IsUnfit(u.fault.err)}
	var err error = refused{fmt.Errorf("version %s is refused: %w", version, u.fault.err)}
	if !r.Final {
		r.Again = u.fault.until
		err = passing{err, u.fault.until.Sub(now)}
	}
	u.show(r)
	return err
}

// show has the status say why a version isn't installed that the channel offers; nil: none is
// refused.
func (u *Updater) show(r *Refusal) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refused = r
}

// setBack says why a bundle isn't installed that was rolled back here; nil if it wasn't, or
// has rested.
func (u *Updater) setBack(d bundle.Digest, version string, now time.Time) (*Refusal, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if slices.Contains(u.journal.Failed, d) {
		return &Refusal{Version: version, Reason: "it was rolled back here", Final: true}, nil
	}
	i := u.journal.setback(d)
	if i < 0 {
		return nil, nil
	}
	s := &u.journal.Setbacks[i]
	var err error
	if s.Since.IsZero() {
		s.Since = now
		err = u.journal.write(u.o.Dir)
	}
	if again := s.Since.Add(rest << (s.Times - 1)); now.Before(again) {
		return &Refusal{Version: version, Reason: "it was rolled back here, for what may pass", Again: again}, err
	}
	return nil, err
}

// withheld is that a server has the channel and doesn't give it.
type withheld struct{ why string }

func (w withheld) Error() string { return "the channel is withheld: " + w.why }

// check looks at the channel once, and installs what it offers this gateway. It reports
// whether a bundle waits for its window.
func (u *Updater) check(ctx context.Context, g Gateway, p Policy) (waiting bool, err error) {
	c, err := u.channel(ctx, p.Source)
	if _, held := errors.AsType[withheld](err); held {
		u.o.Log.Info(err.Error())
		return false, nil
	} else if err != nil {
		return false, err
	}
	u.show(nil)
	stage := c.In(p.Zone)
	switch running := u.o.Slots.Running(); {
	case g.Now().After(c.NotAfter):
		return false, fmt.Errorf("the channel is out of date: it was good until %s", c.NotAfter.UTC().Format(time.RFC3339))
	case c.Version == running.Version:
		return false, remove(u.path(c.Bundles[u.o.Slots.Target()].SHA256))
	case bundle.Place(p.Gateway, c.Version) >= stage.Percent:
		return false, nil
	case c.Epoch < u.installed().Epoch:
		return false, fmt.Errorf("the channel offers version %s of epoch %d, and this gateway has had %d: going back isn't allowed", c.Version, c.Epoch, u.installed().Epoch)
	}
	offer, has := c.Bundles[u.o.Slots.Target()]
	if !has {
		return false, nil
	}
	now := g.Now()
	back, err := u.setBack(offer.SHA256, c.Version, now)
	if back != nil || err != nil {
		u.show(back)
		return false, err // that it was rolled back is said elsewhere
	}
	if u.fault.holds(offer.SHA256, c.Issued, now) {
		return false, u.notInstalled(c.Version, now)
	}
	from, err := resolve(p.Source.Channel, offer.URL)
	if err != nil {
		return false, err
	}
	had := u.Have(offer.SHA256)
	if err := u.fetch(ctx, p.Source.Client, from, offer); err != nil {
		if b, is := errors.AsType[busy](err); is {
			return false, busy{fmt.Errorf("fetch version %s: %w", c.Version, b.error), b.rest}
		}
		if u.cuts++; u.Have(offer.SHA256) > had {
			u.cuts = 0
		}
		return false, passing{fmt.Errorf("fetch version %s: %w", c.Version, err), soon << min(u.cuts, 10)}
	}
	u.cuts = 0
	if now := g.Now(); !stage.Window.Holds(now) || !p.Window.Holds(now) {
		return true, nil
	}
	if err := u.Install(offer.SHA256, offer.Size, g.Health()); err != nil {
		u.refuse(offer.SHA256, c.Issued, err, g.Now())
		return false, u.notInstalled(c.Version, g.Now())
	}
	<-ctx.Done() // the machine restarts
	return false, nil
}

// channel fetches and verifies it.
func (u *Updater) channel(ctx context.Context, s *Source) (c bundle.Channel, err error) {
	if len(u.o.Keys) == 0 {
		return c, errNoKeys
	}
	text, err := get(ctx, s.Client, s.Channel)
	if err != nil {
		return c, err
	}
	signature, err := get(ctx, s.Client, s.Channel+".minisig")
	if err != nil {
		return c, err
	}
	if c, err = bundle.ParseChannel(text, signature, u.o.Keys); err != nil {
		return c, fmt.Errorf("channel %s: %w", s.Channel, err)
	}
	u.mu.Lock()
	seen := u.journal.Channel
	u.mu.Unlock()
	switch {
	case c.Issued.Before(seen):
		return c, fmt.Errorf("channel %s was issued at %s, and a later one of %s was seen", s.Channel, c.Issued.UTC().Format(time.RFC3339), seen.UTC().Format(time.RFC3339))
	case c.Issued.After(seen):
		return c, u.change(func(j *journal) { j.Channel = c.Issued })
	}
	return c, nil
}

// get fetches a small file.
func get(ctx context.Context, client *http.Client, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, bundle.MostChannel+1))
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode == http.StatusConflict:
		return nil, withheld{strings.ToValidUTF8(strings.TrimSpace(string(text[:min(len(text), 200)])), "")}
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", from, answer.Status)
	case len(text) > bundle.MostChannel:
		return nil, fmt.Errorf("%s has more than %d bytes", from, bundle.MostChannel)
	}
	return text, nil
}

// resolve is where a bundle is that a channel names.
func resolve(channel, name string) (string, error) {
	base, err := url.Parse(channel)
	if err != nil {
		return "", err
	}
	to, err := base.Parse(name)
	if err != nil {
		return "", err
	}
	if to.Scheme != "https" {
		return "", fmt.Errorf("%q, expected https://host/path", name)
	}
	return to.String(), nil
}
