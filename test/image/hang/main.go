//go:build linux

// The first process of a machine that does nothing but feed the watchdog once, and end if
// there is none.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// drivers are modules of the watchdog of an emulated PC, in the order in which they are
// loaded, if the kernel doesn't have them built in.
var drivers = []string{"watchdog.ko", "iTCO_vendor_support.ko", "intel_pmc_bxt.ko", "iTCO_wdt.ko", "lpc_ich.ko"}

// long is more than each watchdog's least, in seconds.
const long = 3

func main() {
	err := os.MkdirAll("/dev", 0o755)
	if err == nil {
		err = unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, "")
	}
	if errors.Is(err, unix.EBUSY) {
		err = nil
	}
	err = errors.Join(err, load())
	dog, missing := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if missing == nil {
		err = errors.Join(err, unix.IoctlSetPointerInt(int(dog.Fd()), unix.WDIOC_SETTIMEOUT, long))
	}
	fmt.Println("this version hangs", err, missing)
	if missing != nil {
		os.Exit(1)
	}
	for {
		time.Sleep(time.Hour)
	}
}

func load() error {
	files := make([]string, len(drivers))
	err := filepath.WalkDir("/lib/modules", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if n := slices.Index(drivers, e.Name()); n >= 0 {
			files[n] = path
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, path := range files {
		f, failed := os.Open(path)
		if failed == nil {
			failed = errors.Join(unix.FinitModule(int(f.Fd()), "", 0), f.Close())
		}
		err = errors.Join(err, failed)
	}
	return err
}
