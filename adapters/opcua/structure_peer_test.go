package opcua

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
)

// startStructures starts a server with structures of its own, and returns its endpoint.
func startStructures(t *testing.T) string {
	t.Helper()
	python := os.Getenv("BUSBAR_PYTHON")
	if python == "" {
		python = "../../.venv/bin/python"
	}
	if out, err := exec.Command(python, "-c", "import asyncua").CombinedOutput(); err != nil {
		report := t.Skipf
		if os.Getenv("CI") != "" {
			report = t.Fatalf
		}
		report("no asyncua: %s %v; make peers", out, err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	server := exec.Command(python, "testdata/structures.py", strconv.Itoa(port))
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	server.Stderr = said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	if in := bufio.NewScanner(out); !in.Scan() || in.Text() != "ready" {
		server.Wait()
		t.Fatalf("it isn't ready: %s", said)
	}
	return "opc.tcp://127.0.0.1:" + strconv.Itoa(port) + "/plant"
}

// Structures that only the server knows are read by how it describes them, whether they
// are written down or followed, and numbers have the names that it gives them.
func TestStructuresOfAServer(t *testing.T) {
	endpoint := startStructures(t)
	node := func(name string) Node { return Node{uri: "urn:busbar:test:structures", kind: 's', value: name} }
	d := Device{
		ID: "plant", Server: opcuaconn.Config{Endpoint: endpoint, Security: opcuaconn.Security{Policy: opcuaconn.PolicyNone}}, Keep: t.TempDir(),
		PublishEvery: 100 * time.Millisecond, SampleEvery: 50 * time.Millisecond, KeepAlive: time.Second, Queue: 10, Timeout: 10 * time.Second, Live: live,
		FollowEvery: time.Hour, Follow: []Follow{{Node: node("Plant")}},
		Points: []Point{
			{Name: "Temp", Node: node("Windings"), Element: "[0].Temps[1]", Scale: 1, Signal: 1},
			{Name: "Speed", Node: node("Cooling"), Element: "Speed", Scale: 0.1, Signal: 2},
		},
	}
	c, a := begin(t, d)
	for name, want := range map[string]telemetry.Value{
		"Windings_0.Name": telemetry.TextValue("HV"), "Windings_0.Temps_0": telemetry.FloatValue(81.5), "Cooling.Stage": telemetry.IntValue(2),
		"Cooling.Hot": telemetry.BoolValue(true), "Stage": telemetry.IntValue(1),
	} {
		c.await(t, name, func() bool { return good(c.last(c.named(name))) })
		if s := c.last(c.named(name)); s.Value != want {
			t.Errorf("%s: %v, expected %v", name, s.Value, want)
		}
	}
	c.await(t, "what is written down", func() bool { return good(c.last(1)) && good(c.last(2)) })
	if c.last(1).Value != telemetry.FloatValue(82.5) || c.last(2).Value != telemetry.FloatValue(70) {
		t.Errorf("%v, %v", c.last(1), c.last(2))
	}
	c.mu.Lock()
	for _, f := range c.found {
		if f.Name == "Stage" && (f.States[2] != "Full" || f.Kind != telemetry.State) {
			t.Errorf("%+v", f)
		}
	}
	c.mu.Unlock()
	samples, err := a.ReadOnce(t.Context(), "plant")
	if err != nil || len(samples) < 2 || samples[0].Value != telemetry.FloatValue(82.5) {
		t.Errorf("%v, %v", samples, err)
	}
}
