package firmware

import (
	"os"
	"strings"
	"testing"
)

// The service asks the kernel whether the clock is synchronised. The sets of system
// calls that it goes without hold that call, too.
func TestTheServiceMayAskAboutTheClock(t *testing.T) {
	unit, err := os.ReadFile("busbar-gateway.service")
	if err != nil {
		t.Fatal(err)
	}
	allowed := false
	for line := range strings.Lines(string(unit)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case key == "ProtectClock" && value != "no":
			t.Error("ProtectClock= forbids adjtimex")
		case key == "SystemCallFilter" && strings.HasPrefix(value, "~") && strings.Contains(value, "@privileged"):
			allowed = false
		case key == "SystemCallFilter" && value == "adjtimex":
			allowed = true
		case key == "CapabilityBoundingSet" && value != "":
			t.Errorf("the service may set the clock with %s", value)
		}
	}
	if !allowed {
		t.Error("adjtimex is forbidden")
	}
}

// Reloading is by the signal that the program doesn't end by.
func TestTheServiceReloads(t *testing.T) {
	unit, err := os.ReadFile("busbar-gateway.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nExecReload=/bin/kill -HUP $MAINPID\n") {
		t.Error("systemctl reload does nothing")
	}
}
