package public

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"encoding/json"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Publisher writes the files of pictures into a directory.
type Publisher struct {
	Dir     string // of the files; others in it stay
	Ledger  string // the file of what has been told, which isn't for the public
	Picture func(context.Context) (Picture, error)
	Options func() Options
	Log     *slog.Logger
}

// Run writes now and then every so often, until ctx ends. When nothing can be written, what
// was there stays, and its age shows.
func (p *Publisher) Run(ctx context.Context, every time.Duration) {
	failed := false
	for {
		err := p.Write(ctx, telemetry.MicrosOf(time.Now()))
		switch {
		case err != nil && ctx.Err() == nil && !failed:
			p.Log.Error("the public page can't be written, trying again", "error", err)
		case err == nil && failed:
			p.Log.Info("the public page is written again")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// Write writes the files of the picture that is now. Each is replaced as a whole: alerts
// first, then the feed that lists them, then the page. What has been told is written before
// all of them, so that nothing is told that isn't known to have been.
func (p *Publisher) Write(ctx context.Context, now telemetry.Micros) error {
	picture, err := p.Picture(ctx)
	if err != nil {
		return err
	}
	ledger, err := p.read()
	if err != nil {
		return err
	}
	files, err := FilesOf(picture, p.Options(), now, ledger)
	if err != nil {
		return err
	}
	text, err := json.Marshal(ledger)
	if err != nil {
		return fmt.Errorf("public: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(p.Dir, alertsDir), 0o755); err != nil {
		return fmt.Errorf("public: %w", err)
	}
	if err := configfile.Replace(p.Ledger, text, 0o600); err != nil {
		return fmt.Errorf("public: %w", err)
	}
	for _, name := range inOrder(files) {
		if err := configfile.Replace(filepath.Join(p.Dir, name), files[name], 0o644); err != nil {
			return fmt.Errorf("public: %w", err)
		}
	}
	return errors.Join(clean(filepath.Join(p.Dir, alertsDir), alertFile, ledger.listed()), clean(p.Dir, pageFile, files))
}

func (p *Publisher) read() (*Ledger, error) {
	src, err := os.ReadFile(p.Ledger)
	if errors.Is(err, fs.ErrNotExist) {
		return NewLedger(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("public: %w", err)
	}
	l, err := ParseLedger(src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Ledger, err)
	}
	return l, nil
}

// clean removes from a directory what is named like files and isn't one that stays: alerts
// that the feed lists no more, pages in a language that isn't published any more.
func clean[T any](dir string, like *regexp.Regexp, stays map[string]T) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("public: %w", err)
	}
	for _, e := range entries {
		if _, kept := stays[e.Name()]; like.MatchString(e.Name()) && !kept {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("public: %w", err)
			}
		}
	}
	return nil
}
