package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/busbar/busbar/cloud/replay"
	"github.com/busbar/busbar/cloud/store"
)

// ReplayOptions say what of the log a Replay takes, and where to.
type ReplayOptions struct {
	Dir      string    // that the configuration's file names are relative to
	Into     string    // a SQLite file that doesn't exist yet
	From, To time.Time // as replay.Config has them
	Only     replay.Analytics
	Log      *slog.Logger
	Progress func(replay.Progress)
}

// Replay runs the analytics again beside a cloud that runs, and compares. The file stays
// for whoever wants to look into it, but not after an error.
func Replay(ctx context.Context, config Config, o ReplayOptions) (report *replay.Report, err error) {
	options, topics, err := connection(config, o.Dir)
	if err != nil {
		return nil, err
	}
	switch _, err := os.Lstat(o.Into); {
	case err == nil:
		return nil, fmt.Errorf("replay: %s exists already, expected the name of a new file", o.Into)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("replay: %w", err)
	}
	live, err := store.OpenReadOnly(ctx, config.Store.In(o.Dir))
	if err != nil {
		return nil, err
	}
	defer live.Close()
	defer func() {
		if err != nil {
			report = nil
			for _, suffix := range []string{"", "-wal", "-shm"} {
				os.Remove(o.Into + suffix)
			}
		}
	}()
	shadow, err := store.Open(ctx, store.Config{Path: o.Into})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shadow.Close()) }()
	return replay.Run(ctx, replay.Config{Log: options, Topics: topics, Live: live, Shadow: shadow,
		From: o.From, To: o.To, Only: o.Only, Logger: o.Log, Progress: o.Progress})
}
