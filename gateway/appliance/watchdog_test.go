//go:build linux

package appliance

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAWatchdogThatComesLaterIsFed(t *testing.T) {
	w := &watchdog{path: filepath.Join(t.TempDir(), "watchdog"), log: slog.New(slog.DiscardHandler)}
	w.feed()
	if err := w.open(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is none: %v", err)
	}
	if err := os.WriteFile(w.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it isn't time yet for another
		w.feed()
	}
	if fed, err := os.ReadFile(w.path); err != nil || len(fed) != 1 {
		t.Errorf("fed %q, %v", fed, err)
	}
	if err := w.open(); err != nil {
		t.Error(err)
	}
	defer w.file.Close()

	var none *watchdog
	none.feed()
	if err := none.open(); err != nil {
		t.Error(err)
	}
}

// Devices that don't stop telling of themselves don't hold the start.
func TestTheStartDoesNotWaitForDevicesThatChatter(t *testing.T) {
	events, device, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := device.WriteString("change@/devices/x\x00ACTION=change\x00"); err != nil {
				return
			}
		}
	}()
	d := drivers{m: &Machine{log: slog.New(slog.DiscardHandler)}, events: events}
	d.follow(time.Minute, 100*time.Millisecond)
	device.Close()
	<-done
}
