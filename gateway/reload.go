package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gatewayconfig"
)

// Reload tries what the configuration's file holds now, and keeps it if it holds. Until
// then, and after it was rolled back, a start finds that file and doesn't take it:
// see Load. The error says why the gateway doesn't run with it.
func (g *Gateway) Reload(by string, wait time.Duration) error {
	config, source, err := readSource(g.options.File)
	if err != nil {
		return err
	}
	if !g.trials.mu.TryLock() {
		return errBusy
	}
	defer g.trials.mu.Unlock()
	if ctx := g.trials.ctx; ctx == nil || ctx.Err() != nil {
		return errNotRunning
	}
	if g.trials.pending != nil {
		return errBusy
	}
	running := g.live.Load()
	m := mark{
		Refused: source.fingerprint(), Cause: "the gateway ended while it was tried",
		At: g.clock.Now().Time(), Running: running.source(),
	}
	before, _ := os.ReadFile(g.markPath())
	if err := g.setMark(m); err != nil {
		return fmt.Errorf("note the configuration that runs: %w", err)
	}
	outcome, err := g.try(Trial{Config: config, Source: source, By: by, Wait: wait})
	switch {
	case errors.Is(err, errStopped):
		return err
	case err != nil:
		g.restoreMark(before)
		return err
	case outcome.Held:
		g.trials.stop()
		g.keep(g.trials.pending)
		return nil
	}
	m.Cause = outcome.Causes[0]
	if err := g.setMark(m); err != nil {
		g.log.Error("why the configuration was rolled back can't be noted", "error", err)
	}
	g.trials.refuse(m.problem(g.options.File))
	return errors.New("rolled back: " + outcome.Why())
}

// mark says which configuration isn't to be started with, and what ran before.
type mark struct {
	Refused string    `json:"refused"` // its fingerprint
	Cause   string    `json:"cause"`
	At      time.Time `json:"at"`
	Running Source    `json:"running"` // what the gateway ran with
}

// markName is the mark's file in the buffer's directory, which is the only one that
// a gateway has to be able to write.
const markName = "configuration-refused.json"

func (m mark) problem(file string) string {
	return fmt.Sprintf("%s isn't what runs, but the configuration before it. Tried at %s, it didn't hold: %s. Change it and reload",
		file, m.At.UTC().Format(time.RFC3339), m.Cause)
}

func (g *Gateway) markPath() string {
	return filepath.Join(g.config.Buffer.Path.In(g.options.Dir), markName)
}

func (g *Gateway) setMark(m mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return configfile.Replace(g.markPath(), text, 0o600)
}

// restoreMark has the mark be what it was before a file couldn't be tried: it may have
// refused that very file.
func (g *Gateway) restoreMark(before []byte) {
	if before == nil {
		g.dropMark()
		return
	}
	if err := configfile.Replace(g.markPath(), before, 0o600); err != nil {
		g.log.Error("which configuration was refused can't be noted again", "error", err)
	}
}

func (g *Gateway) dropMark() {
	if err := os.Remove(g.markPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.log.Error("that a configuration was refused can't be forgotten", "error", err)
	}
}

// Load reads the configuration of a gateway that starts, and fills File, Source and
// Refused of its options. It is that in the file, unless a gateway was trying
// it when it ended, or has rolled it back: then it is the one before. The error is that
// of gatewayconfig.Load.
func Load(file string, o *Options) (gatewayconfig.Config, error) {
	o.File, o.Dir = file, filepath.Dir(file)
	config, source, err := readSource(file)
	if err != nil {
		return config, err
	}
	o.Source = source
	text, err := os.ReadFile(filepath.Join(config.Buffer.Path.In(o.Dir), markName))
	if err != nil {
		return config, nil
	}
	var m mark
	if err := json.Unmarshal(text, &m); err != nil || m.Refused != source.fingerprint() {
		return config, nil
	}
	before, err := m.Running.parse(file)
	if err != nil || before.Buffer.Path != config.Buffer.Path {
		o.Log.Error("the configuration was refused, and the one before isn't valid any more; it is taken all the same", "file", file, "cause", m.Cause, "error", err)
		return config, nil
	}
	o.Source, o.Refused = m.Running, m.problem(file)
	o.Log.Error("the configuration was refused; the one before it runs", "file", file, "cause", m.Cause, slog.Time("at", m.At))
	return before, nil
}
