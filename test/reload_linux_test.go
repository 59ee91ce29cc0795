package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A plan is shown and confirmed; nothing is put beside the configuration before.
func TestAPersonIsAskedAboutAConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const device = "devices:\n  - {id: meter, modbus: {endpoint: \"tcp://127.0.0.1:9\"}, poll_every: %s, signals: [{name: A, coil: 0}]}\n"
	config := fmt.Sprintf(head, freeAddress(t))
	write(t, dir, "gateway.yaml", config+fmt.Sprintf(device, "1s"))
	write(t, dir, "new.yaml", config+fmt.Sprintf(device, "2s"))
	for _, c := range []struct {
		types     string
		interrupt bool
		says      string
	}{
		{"n\n", false, "not applied"},
		{"\n", false, "not applied"},
		{"", true, "not applied"},
		{"y\n", false, "no gateway with this configuration runs on this machine"},
	} {
		said, code := onTerminal(t, dir, "Apply it? [y/N] ", c.types, c.interrupt, "config", "apply", "--to", "gateway.yaml", "new.yaml")
		if code != 1 || !strings.Contains(said, "device meter  poll_every 1s becomes 2s") || !strings.Contains(said, c.says) {
			t.Errorf("%+v: exit code %d: %s", c, code, said)
		}
		if _, err := os.Stat(filepath.Join(dir, "gateway.yaml.new")); !os.IsNotExist(err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
