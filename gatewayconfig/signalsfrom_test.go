package gatewayconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSignalsOfAList(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "bay.csv")
	config := filepath.Join(dir, "gateway.yaml")
	text := iec101Config(`  - id: rtu
    iec104: {endpoint: "tcp://10.0.0.1"}
    signals_from: bay.csv
    signals: [{name: Level, ioa: 5, unit: m, deadband: 0.5}]
`)
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config, text)
	write(list, "name;ioa;unit;type\nLevel;5;m;\nPos;6;;DP\n")
	c, err := Load(config)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Devices[0]
	points := d.TelecontrolDevice(dir).Points
	if len(points) != 2 || points[0].Object != 5 || points[1].Object != 6 || !points[1].Bool || d.Signals[0].Deadband == nil {
		t.Errorf("%+v", d.Signals)
	}
	for csv, want := range map[string]string{
		"name;ioa;unit\nA;1;V\nB;x;V\n": `devices[0].signals_from: bay.csv:3:3: "x", expected a number`,
		"name;ioa;unit\nOther;5;m\n":    `5 is Level already, expected one signal for each object`,
	} {
		write(list, csv)
		if _, err := Load(config); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "no signal, expected") {
			t.Errorf("%q: %v, expected %s", csv, err, want)
		}
	}
	os.Remove(list)
	if _, err := Load(config); err == nil || !strings.Contains(err.Error(), "devices[0].signals_from: open") {
		t.Error(err)
	}
	write(config, strings.Replace(text, `iec104: {endpoint: "tcp://10.0.0.1"}`, `modbus: {endpoint: "tcp://10.0.0.1"}`, 1))
	if _, err := Load(config); err == nil || !strings.Contains(err.Error(), "the device is read by modbus, which hasn't got this") {
		t.Error(err)
	}
}
