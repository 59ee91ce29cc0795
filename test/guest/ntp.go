//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// timeServer is where a time server of the host is reached: the machine has no
// network card, so its packets go over the second serial line.
const timeServer = "127.0.0.1:1123"

// packetBytes is the length of a request to a time server, and of an answer.
const packetBytes = 48

// relay carries packets between timeServer and the serial line.
func relay() error {
	line, err := os.OpenFile("/dev/ttyS1", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200, Ispeed: unix.B115200, Ospeed: unix.B115200}
	raw.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(int(line.Fd()), unix.TCSETS, &raw); err != nil {
		return fmt.Errorf("prepare the serial line: %w", err)
	}
	socket, err := net.ListenPacket("udp", timeServer)
	if err != nil {
		return err
	}
	go func() {
		packet := make([]byte, packetBytes)
		for {
			n, from, err := socket.ReadFrom(packet)
			if err != nil || n != len(packet) {
				continue
			}
			if _, err := line.Write(packet); err != nil {
				return
			}
			if _, err := io.ReadFull(line, packet); err != nil {
				return
			}
			socket.WriteTo(packet, from)
		}
	}()
	return nil
}
