package serialport

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// sysfs makes the directories of a machine with two ports of its own, of which one has a
// chip, an adapter of two ports and a modem.
func sysfs(t *testing.T) fs.FS {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"devices/usb1/1-2/manufacturer":                    "FTDI\n",
		"devices/usb1/1-2/product":                         "Dual RS485/HS\n",
		"devices/usb1/1-2/serial":                          "FT 1\n",
		"devices/usb1/1-2/1-2:1.1/bInterfaceNumber":        "01\n",
		"devices/usb1/1-2/1-2:1.1/ttyUSB1/port_number":     "0\n",
		"devices/usb1/1-2/1-2:1.1/ttyUSB1/tty/ttyUSB1/dev": "188:1\n",
		"devices/usb1/1-3/idVendor":                        "0525\n",
		"devices/usb1/1-3/product":                         "Meter\n",
		"devices/usb1/1-3/1-3:1.0/bInterfaceNumber":        "00\n",
		"devices/usb1/1-3/1-3:1.0/tty/ttyACM0/dev":         "166:0\n",
		"devices/serial8250/tty/ttyS0/type":                "4\n",
		"devices/serial8250/tty/ttyS1/type":                "0\n",
		"devices/virtual/tty/tty0/dev":                     "4:0\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"class/tty/ttyUSB1": "../../devices/usb1/1-2/1-2:1.1/ttyUSB1/tty/ttyUSB1",
		"class/tty/ttyACM0": "../../devices/usb1/1-3/1-3:1.0/tty/ttyACM0",
		"class/tty/ttyS0":   "../../devices/serial8250/tty/ttyS0",
		"class/tty/ttyS1":   "../../devices/serial8250/tty/ttyS1",
		"class/tty/tty0":    "../../devices/virtual/tty/tty0",
		"devices/usb1/1-2/1-2:1.1/ttyUSB1/tty/ttyUSB1/device": "../../../ttyUSB1",
		"devices/usb1/1-3/1-3:1.0/tty/ttyACM0/device":         "../../../1-3:1.0",
	} {
		path := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	return os.DirFS(root)
}

func TestPortsAreCalledAsUdevCallsThem(t *testing.T) {
	want := []Port{
		{Device: "/dev/ttyS0"},
		{"/dev/ttyACM0", "/dev/serial/by-id/usb-0525_Meter-if00", "Meter"},
		{"/dev/ttyUSB1", "/dev/serial/by-id/usb-FTDI_Dual_RS485_HS_FT_1-if01-port0", "FTDI Dual RS485/HS"},
	}
	if got := listIn(sysfs(t)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
