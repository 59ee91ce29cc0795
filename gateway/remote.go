package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
)

var _ status.Remote = source{}

// Configuration implements status.Remote.
func (g source) Configuration() []byte { return g.live.Load().source().Text }

// Replace implements status.Remote.
func (g source) Replace(_ context.Context, text []byte, by string, wait time.Duration) (Outcome, error) {
	file := g.options.File
	if file == "" {
		return Outcome{}, errors.New("this gateway wasn't started with a file")
	}
	if _, err := gatewayconfig.ParseIn(filepath.Dir(file), filepath.Base(file), text, configfile.Read); err != nil {
		return Outcome{}, err
	}
	replacement, err := Propose(file, text)
	if err != nil {
		return Outcome{}, fmt.Errorf("put the configuration beside %s: %w", file, err)
	}
	outcome, err := g.TryNew(status.Trial{SHA256: hashOf(text), By: by, Wait: wait})
	if err != nil || !outcome.Held {
		return outcome, errors.Join(err, replacement.Withdraw())
	}
	if err := replacement.Put(); err != nil {
		return outcome, fmt.Errorf("it has held, and can't be put into %s, so that the gateway goes back by itself: %w", file, errors.Join(err, replacement.Withdraw()))
	}
	return outcome, g.Keep(hashOf(text))
}

// Log implements status.Remote.
func (g source) Log(from uint64) (lines []byte, next uint64, more <-chan struct{}) {
	if g.options.Journal == nil {
		return nil, from, nil
	}
	return g.options.Journal.From(from)
}

// Inspect implements status.Remote.
func (g source) Inspect(ctx context.Context, signals bool) ([]buffer.File, error) {
	i, err := buffer.Inspect(g.config.Buffer.Path.In(g.options.Dir))
	if err != nil {
		return nil, err
	}
	return i.LookAtAll(ctx, signals)
}

// Export implements status.Remote.
func (g source) Export(ctx context.Context, s buffer.Selection, to *buffer.Lines) (damage []string, err error) {
	i, err := buffer.Inspect(g.config.Buffer.Path.In(g.options.Dir))
	if err != nil {
		return nil, err
	}
	_, damage, err = i.ExportAll(ctx, s, to)
	return damage, err
}
