// Package serialport finds the serial ports of a machine, as Linux knows them.
package serialport

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Port is a serial port.
type Port struct {
	Device string // /dev/ttyUSB0
	// ByID is the name that it keeps wherever its adapter is plugged in, as udev gives it:
	// /dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A1-if00-port0; "" if it is on no adapter
	// that has a name of its own.
	ByID string
	// What it is, in its own words: FTDI FT232R USB UART. "" for a port of the board.
	Product string
}

// List is the ports that this machine has, sorted by device.
func List() []Port { return listIn(os.DirFS("/sys")) }

func listIn(sys fs.FS) []Port {
	const class = "class/tty"
	entries, err := fs.ReadDir(sys, class)
	if err != nil {
		return nil
	}
	var ports []Port
	for _, e := range entries {
		name := e.Name()
		p := Port{Device: "/dev/" + name}
		dir := path.Join(class, name)
		switch {
		case strings.HasPrefix(name, "ttyUSB"), strings.HasPrefix(name, "ttyACM"):
			p.describe(sys, dir, strings.HasPrefix(name, "ttyUSB"))
		case strings.HasPrefix(name, "ttyS"), strings.HasPrefix(name, "ttyAMA"):
			if kind := text(sys, path.Join(dir, "type")); kind == "" || kind == "0" { // the driver's, without a chip
				continue
			}
		default:
			continue
		}
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b Port) int { return cmp.Or(len(a.Device)-len(b.Device), strings.Compare(a.Device, b.Device)) })
	return ports
}

// describe fills in what an adapter says of itself. A port's device is the adapter's
// interface, or below it; the adapter is above that.
func (p *Port) describe(sys fs.FS, dir string, numbered bool) {
	part := path.Join(dir, "device")
	number := text(sys, path.Join(part, "port_number"))
	if numbered {
		part += "/.."
	}
	real, err := resolve(sys, part)
	if err != nil {
		return
	}
	adapter := path.Dir(real)
	maker, product, serial := text(sys, path.Join(adapter, "manufacturer")), text(sys, path.Join(adapter, "product")), text(sys, path.Join(adapter, "serial"))
	p.Product = strings.TrimSpace(maker + " " + product)
	maker, product = cmp.Or(maker, text(sys, path.Join(adapter, "idVendor"))), cmp.Or(product, text(sys, path.Join(adapter, "idProduct")))
	if maker == "" || product == "" {
		return
	}
	id := "usb-" + plain(maker) + "_" + plain(product)
	if serial != "" {
		id += "_" + plain(serial)
	}
	id += "-if" + cmp.Or(text(sys, path.Join(real, "bInterfaceNumber")), "00")
	if numbered {
		id += "-port" + cmp.Or(number, "0")
	}
	p.ByID = "/dev/serial/by-id/" + id
}

// resolve follows the links of a path, as sysfs has them.
func resolve(sys fs.FS, name string) (string, error) {
	var at string
	parts := strings.Split(name, "/")
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		if part == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		target, err := fs.ReadLink(sys, next)
		if err != nil {
			if _, err := fs.Stat(sys, next); err != nil {
				return "", err
			}
			at = next
			continue
		}
		if links++; links > 20 {
			return "", fmt.Errorf("%s: too many links", name)
		}
		parts = append(strings.Split(target, "/"), parts...)
	}
	return at, nil
}

// text is the content of a small file, without what surrounds it.
func text(sys fs.FS, name string) string {
	content, err := fs.ReadFile(sys, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// plain is what udev makes of an adapter's words for a file name.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', strings.ContainsRune("#+-.:=@_", r):
			return r
		}
		return '_'
	}, s)
}
