package main

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

func TestDevicesOfLive(t *testing.T) {
	for args, want := range map[string]string{
		"--opcua 127.0.0.1:4840":                               "--devices is missing",
		"--devices 127.0.0.1":                                  "is not host:port",
		"--devices 127.0.0.1:0 --products abb/b23=0":           "--products",
		"--devices 127.0.0.1:0 --products abb/b24":             `did you mean "abb/b23"?`,
		"--devices 127.0.0.1:0 --mqtt 0.7 --sparkplug 0.7":     "not from 0 to 1 together",
		"--devices 127.0.0.1:0 --mqtt 0.7 --broker 127.0.0.1":  "--broker",
		"--devices 127.0.0.1:0 --units-per-port 248":           "expected 1 to 247",
		"--devices 127.0.0.1:0 --gateway-id Sim_GW":            "no gateway's id",
		"--devices 127.0.0.1:0 --opcua x":                      `"x" is not host:port`,
		"--devices 127.0.0.1:0 --products tasmota --opcua y:1": "is read by mqtt",
	} {
		out, err := exec.Command(binary, append([]string{"live", "service", "--listen", peer.Address(t)}, strings.Fields(args)...)...).CombinedOutput()
		if code := exitCode(err); code != 2 || !strings.Contains(string(out), want) {
			t.Errorf("%s: exit code %d\n%s", args, code, out)
		}
	}

	at := peer.Address(t)
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	cmd := exec.Command(binary, "live", "service", "--listen", peer.Address(t), "--devices", at, "--units-per-port", "247", "--gateway-config", path, "--gateway-id", "north-gw1", "--poll-every", "5s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var config gatewayconfig.Config
	await.True(t, "a configuration", func() (written bool) {
		var err error
		config, err = gatewayconfig.Load(path)
		return err == nil
	})
	if config.Gateway.ID != "north-gw1" || len(config.Devices) < 10 || config.Devices[0].Modbus.Endpoint != "tcp://"+at {
		t.Errorf("%+v, %d devices", config.Gateway, len(config.Devices))
	}
	await.True(t, "the devices listen", func() bool {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
