//go:build linux

// The first process of a machine that does nothing but feed the watchdog once.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	err := os.MkdirAll("/dev", 0o755)
	if err == nil {
		err = unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, "")
	}
	if err != nil && err != unix.EBUSY {
		fmt.Println("hang:", err)
	}
	dog, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(dog.Fd()), unix.WDIOC_SETTIMEOUT, 2)
	}
	fmt.Println("this version hangs", err)
	for {
		time.Sleep(time.Hour)
	}
}
