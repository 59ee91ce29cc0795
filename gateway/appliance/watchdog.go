//go:build linux

package appliance

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watchdog starts the machine anew if nobody feeds it. A nil one does nothing.
type watchdog struct {
	file *os.File
	log  *slog.Logger

	mu  sync.Mutex
	fed time.Time
}

const (
	watchdogTimeout = 60 // seconds
	feedEvery       = 5 * time.Second
)

// noWatchdog, told to the kernel, leaves the watchdog alone: of an emulated board that has
// one which starts it anew at once.
const noWatchdog = "busbar.nowatchdog"

func openWatchdog(log *slog.Logger) *watchdog {
	if told, err := os.ReadFile("/proc/cmdline"); err == nil && slices.Contains(strings.Fields(string(told)), noWatchdog) {
		log.Warn("the watchdog is left alone, as the kernel was told")
		return nil
	}
	file, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Error("the watchdog can't be used", "error", err)
		} else {
			log.Warn("this machine has no watchdog")
		}
		return nil
	}
	w := &watchdog{file: file, log: log}
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.WDIOC_SETTIMEOUT, watchdogTimeout); err != nil {
		log.Warn("the watchdog keeps its own timeout", "error", err)
	}
	w.feed()
	return w
}

func (w *watchdog) feed() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if !w.fed.IsZero() && now.Sub(w.fed) < feedEvery {
		return
	}
	if _, err := w.file.Write([]byte{0}); err != nil {
		w.log.Error("the watchdog can't be fed", "error", err)
	}
	w.fed = now
}
