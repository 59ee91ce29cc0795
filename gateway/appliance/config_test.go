//go:build linux

package appliance

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
)

const edited = `gateway: {id: north-gw1}
forward: {kafka: {brokers: ["10.0.0.1:9092"], insecure: true, sasl: {mechanism: PLAIN, username: gw, password_file: secrets/password}}}
buffer: {path: /var/lib/busbar}
network: {address: 10.0.0.20/24}
devices: [{id: meter, profile: own.yaml, modbus: {endpoint: "tcp://10.0.0.11"}}]
`

const ownProfile = "product: P\nsource: s\nsignals: [{name: V, input: 0, type: uint16, unit: V}]\nexamples: []\n"

// partitions are two directories, of which the first can be written while the other way
// round it isn't asked for.
func partitions(t *testing.T) (x exchange, put func(name, text string), has func(path string) string) {
	t.Helper()
	x = exchange{boot: t.TempDir(), data: t.TempDir(), log: slog.New(slog.DiscardHandler), write: func(f func() error) error { return f() }}
	put = func(name, text string) {
		t.Helper()
		path := filepath.Join(x.boot, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	has = func(path string) string {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "-"
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return x, put, has
}

func TestWhatIsEditedIsTaken(t *testing.T) {
	x, put, has := partitions(t)
	boot := func(name string) string { return has(filepath.Join(x.boot, name)) }
	data := func(name string) string { return has(filepath.Join(x.data, name)) }
	put("gateway.yaml", edited)
	put("secrets/password", "hunter2")
	put("own.yaml", ownProfile)
	put("other", "of somebody else")
	if err := x.take(); err != nil {
		t.Fatal(err)
	}
	if data("gateway.yaml") != edited || boot("gateway.yaml") != edited || data("secrets/password") != "hunter2" || data("own.yaml") != ownProfile {
		t.Error("the configuration wasn't taken with what it names")
	}
	if boot("secrets/password") != "-" || boot("own.yaml") != "-" || boot("other") != "of somebody else" {
		t.Error("what it names wasn't moved, and nothing else")
	}
	if info, err := os.Stat(filepath.Join(x.data, "secrets/password")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if network, name := x.settings(); network.Address != "10.0.0.20/24" || name != "north-gw1" {
		t.Errorf("%+v, %s", network, name)
	}

	// Another one that names the profile, which isn't there any more, and a new password.
	later := strings.Replace(edited, "10.0.0.11", "10.0.0.12", 1)
	put("gateway.yaml", later)
	put("secrets/password", "hunter3")
	if err := x.take(); err != nil {
		t.Fatal(err)
	}
	if data("gateway.yaml") != later || data("secrets/password") != "hunter3" || boot("secrets/password") != "-" {
		t.Error("a second one wasn't taken")
	}

	// A password alone.
	put("secrets/password", "hunter4")
	if err := x.take(); err != nil || data("secrets/password") != "hunter4" || boot("secrets/password") != "-" {
		t.Errorf("a password alone: %v", err)
	}

	// What is wrong isn't taken, and says where.
	put("gateway.yaml", "gateway: {id: north-gw1}\nnetwork: {address: 10.0.0.30/24}\n")
	wrong := x.take()
	if _, is := errors.AsType[configfile.Errors](wrong); !is || data("gateway.yaml") != later || !strings.Contains(problem(wrong), "line 1, column 1: forward: the key is missing") {
		t.Errorf("%v", wrong)
	}
	put("gateway.yaml", strings.Replace(edited, "/var/lib/busbar", "/tmp", 1))
	if err := x.take(); err == nil || !strings.Contains(err.Error(), "outlives a start") || data("gateway.yaml") != later {
		t.Errorf("a buffer in memory: %v", err)
	}
}

// A file that was overwritten when the power failed, before it was removed, isn't taken for the
// one that was taken.
func TestPowerFailsWhileSecretsAreMoved(t *testing.T) {
	x, put, has := partitions(t)
	put("gateway.yaml", edited)
	put("secrets/password", "hunter2")
	put("own.yaml", ownProfile)
	if err := x.take(); err != nil {
		t.Fatal(err)
	}
	put("secrets/password", strings.Repeat("\x00", 7))
	put("own.yaml", strings.Repeat("\x00", len(ownProfile)))
	if err := x.take(); err != nil {
		t.Fatal(err)
	}
	if got := has(filepath.Join(x.data, "secrets/password")); got != "hunter2" || has(filepath.Join(x.data, "own.yaml")) != ownProfile {
		t.Errorf("%q", got)
	}
	if has(filepath.Join(x.boot, "secrets/password")) != "-" || has(filepath.Join(x.boot, "own.yaml")) != "-" {
		t.Error("what was overwritten is still there")
	}
}

func TestWhatIsChangedThroughTheGatewayIsShown(t *testing.T) {
	x, put, has := partitions(t)
	put("gateway.yaml", edited)
	put("own.yaml", ownProfile)
	if err := x.take(); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(edited, "10.0.0.11", "10.0.0.13", 1)
	if err := os.WriteFile(filepath.Join(x.data, "gateway.yaml"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := x.take(); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{x.boot, x.data} {
			if got := has(filepath.Join(dir, "gateway.yaml")); got != changed {
				t.Errorf("%s: %s", dir, got)
			}
		}
	}
}

// Of a file that is wrong, the network is known all the same.
func TestAMachineIsReachedThatHasNoConfiguration(t *testing.T) {
	x, put, _ := partitions(t)
	put("gateway.yaml", "gateway: {id: north-gw1}\nnetwork: {address: 10.0.0.30/24}\n")
	if err := x.take(); err == nil {
		t.Error("it was taken")
	}
	if network, _ := x.settings(); network.Address != "10.0.0.30/24" {
		t.Errorf("%+v", network)
	}
}
