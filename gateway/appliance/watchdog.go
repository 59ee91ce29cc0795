//go:build linux

package appliance

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watchdog is what starts the machine anew if nobody feeds it, once there is one. A nil one
// does nothing. It is safe for concurrent use.
type watchdog struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *os.File // nil: it isn't open
	fed  time.Time
}

const (
	watchdogTimeout = 60 // seconds
	feedEvery       = 5 * time.Second
)

// noWatchdog, told to the kernel, leaves the watchdog alone: of an emulated board that has
// one which starts it anew at once.
const noWatchdog = "busbar.nowatchdog"

func newWatchdog(log *slog.Logger) *watchdog {
	if told, err := os.ReadFile("/proc/cmdline"); err == nil && slices.Contains(strings.Fields(string(told)), noWatchdog) {
		log.Warn("the watchdog is left alone, as the kernel was told")
		return nil
	}
	return &watchdog{path: "/dev/watchdog", log: log}
}

// open opens the watchdog unless it is open. The error is fs.ErrNotExist if there is none yet.
func (w *watchdog) open() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened()
}

// opened is open, with mu held.
func (w *watchdog) opened() error {
	if w.file != nil {
		return nil
	}
	file, err := os.OpenFile(w.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	w.file = file
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.WDIOC_SETTIMEOUT, watchdogTimeout); err != nil {
		w.log.Warn("the watchdog keeps its own timeout", "error", err)
	}
	w.log.Info("the watchdog is open")
	return nil
}

// feed opens the watchdog if it isn't open, and feeds it if it is time.
func (w *watchdog) feed() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opened() != nil {
		return
	}
	now := time.Now()
	if !w.fed.IsZero() && now.Sub(w.fed) < feedEvery {
		return
	}
	if _, err := w.file.Write([]byte{0}); err != nil {
		w.log.Error("the watchdog can't be fed", "error", err)
	}
	w.fed = now
}
