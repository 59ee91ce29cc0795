package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
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
		if _, cut := errors.AsType[unfetched](err); waiting || cut {
			wait = min(wait, soon)
		}
	}
}

// note says what is wrong with updates, once.
func (u *Updater) note(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	u.mu.Lock()
	same := text == u.problem
	u.problem = text
	u.mu.Unlock()
	if !same && err != nil {
		u.o.Log.Error("no update", "error", err)
	}
}

// unfetched is that a bundle hasn't come, or not all of it.
type unfetched struct{ error }

func (u unfetched) Unwrap() error { return u.error }

// refusal is why what a channel offers isn't installed, until it says something else: it
// isn't fetched again and again.
type refusal struct {
	issued time.Time
	err    error
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
	switch running := u.o.Slots.Running(); {
	case g.Now().After(c.NotAfter):
		return false, fmt.Errorf("the channel is out of date: it was good until %s", c.NotAfter.UTC().Format(time.RFC3339))
	case c.Version == running.Version:
		return false, remove(u.path(c.Bundles[u.o.Slots.Target()].SHA256))
	case bundle.Place(p.Gateway, c.Version) >= c.Percent:
		return false, nil
	case c.Epoch < u.installed().Epoch:
		return false, fmt.Errorf("the channel offers version %s of epoch %d, and this gateway has had %d: going back isn't allowed", c.Version, c.Epoch, u.installed().Epoch)
	}
	offer, has := c.Bundles[u.o.Slots.Target()]
	switch {
	case !has:
		return false, nil
	case u.failed(offer.SHA256):
		return false, nil // that it was rolled back is said elsewhere
	case u.refused.err != nil && u.refused.issued.Equal(c.Issued):
		return false, u.refused.err
	}
	from, err := resolve(p.Source.Channel, offer.URL)
	if err != nil {
		return false, err
	}
	if err := u.fetch(ctx, p.Source.Client, from, offer); err != nil {
		return false, unfetched{fmt.Errorf("fetch version %s: %w", c.Version, err)}
	}
	if now := g.Now(); !c.Window.Holds(now) || !p.Window.Holds(now) {
		return true, nil
	}
	if err := u.Install(offer.SHA256, offer.Size, g.Health()); err != nil {
		u.refused = refusal{c.Issued, fmt.Errorf("version %s is refused: %w", c.Version, err)}
		return false, u.refused.err
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
