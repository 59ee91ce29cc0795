package firmware

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func unit(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// One service asks the kernel whether the clock is synchronised, and the gateway that it tells
// may not. The sets of system calls that they go without hold that call, too.
func TestOneServiceMayAskAboutTheClock(t *testing.T) {
	for name, want := range map[string]bool{"busbar-clock.service": true, "busbar-gateway.service": false} {
		allowed := false
		for line := range strings.Lines(unit(t, name)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case key == "ProtectClock" && want && value != "no":
				t.Errorf("%s: ProtectClock= forbids adjtimex", name)
			case key == "SystemCallFilter" && strings.HasPrefix(value, "~") && strings.Contains(value, "@privileged"):
				allowed = false
			case key == "SystemCallFilter" && value == "adjtimex":
				allowed = true
			case key == "CapabilityBoundingSet" && value != "":
				t.Errorf("%s: it may set the clock with %s", name, value)
			}
		}
		if allowed != want {
			t.Errorf("%s: adjtimex is allowed: %v, want %v", name, allowed, want)
		}
	}
}

// The gateway's service brings the other one along, and finds what it tells.
func TestTheServicesGoTogether(t *testing.T) {
	gateway, clock := unit(t, "busbar-gateway.service"), unit(t, "busbar-clock.service")
	for _, key := range []string{"Wants", "After"} {
		if !regexp.MustCompile(`(?m)^` + key + `=.*\bbusbar-clock\.service\b`).MatchString(gateway) {
			t.Errorf("the gateway's service has no %s=busbar-clock.service", key)
		}
	}
	for _, line := range []string{"PartOf=busbar-gateway.service", "RuntimeDirectory=busbar-clock", "RuntimeDirectoryMode=0755"} {
		if !strings.Contains(clock, "\n"+line+"\n") {
			t.Errorf("the clock's service has no %s", line)
		}
	}
}

// Reloading is by the signal that the program doesn't end by.
func TestTheServiceReloads(t *testing.T) {
	if !strings.Contains(unit(t, "busbar-gateway.service"), "\nExecReload=/bin/kill -HUP $MAINPID\n") {
		t.Error("systemctl reload does nothing")
	}
}
