//go:build linux

package appliance

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/gateway/serialport"
)

// startSerial gives the serial ports that there are or come the names that they keep
// wherever they are plugged in, as udev does elsewhere, and says what it has found.
func (m *Machine) startSerial(ctx context.Context) {
	m.follows.Go(func() {
		known := map[string]serialport.Port{}
		for {
			m.nameSerial(known)
			select {
			case <-ctx.Done():
				return
			case <-time.After(lookAgain):
			}
		}
	})
}

func (m *Machine) nameSerial(known map[string]serialport.Port) {
	there := map[string]bool{}
	for _, p := range serialport.List() {
		there[p.Device] = true
		if known[p.Device] == p {
			continue
		}
		known[p.Device] = p
		m.log.Info("a serial port", "port", p.Device, "name", p.ByID, "adapter", p.Product)
		if p.ByID == "" {
			continue
		}
		err := os.MkdirAll(filepath.Dir(p.ByID), 0o755)
		if err == nil {
			_ = os.Remove(p.ByID)
			err = os.Symlink(p.Device, p.ByID)
		}
		if err != nil {
			m.log.Error("a serial port can't be given its name", "name", p.ByID, "error", err)
		}
	}
	for device, p := range known {
		if there[device] {
			continue
		}
		m.log.Warn("a serial port has gone", "port", device, "adapter", p.Product)
		delete(known, device)
		if to, err := os.Readlink(p.ByID); err == nil && to == device {
			_ = os.Remove(p.ByID)
		}
	}
}
