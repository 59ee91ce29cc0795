package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/sim/publisher"
	"github.com/busbar/busbar/test/mosquitto"
)

func TestSparkplugCommand(t *testing.T) {
	for _, c := range [][]string{
		{"--nodes=500", "--meters=1000", "times --meters"},
		{"127.0.0.1:1883", "tcp://host:port"}, {"--nodes=0", "--nodes"}, {"--meters=0", "--meters"}, {"--group=a/b", "--group"}, {"--primary-host=+", "--primary-host"},
		{"--misbehave=gab", "did you mean gap?"}, {"--misbehave=cut=0s", "--misbehave"}, {"--load=H9", "--load"},
	} {
		out, err := exec.Command(binary, append([]string{"sparkplug"}, c[:len(c)-1]...)...).CombinedOutput()
		if exitCode(err) != 2 || !strings.Contains(string(out), c[len(c)-1]) {
			t.Errorf("%v: %v: %s", c, err, out)
		}
	}
	out, err := exec.Command(binary, "sparkplug", "--help").CombinedOutput()
	if err != nil {
		t.Error(err)
	}
	for _, k := range publisher.Kinds() {
		if !strings.Contains(string(out), "\n    "+string(k.Kind)) {
			t.Errorf("--help doesn't tell of %s", k.Kind)
		}
	}
}

// What is printed is a configuration, what is published is written down, and it ends cleanly.
func TestSparkplugIsPublished(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	w := b.Watch("spBv1.0")
	truth := filepath.Join(t.TempDir(), "truth.jsonl")
	cmd := exec.Command(binary, "sparkplug", "tcp://"+b.Address, "--nodes=2", "--every=100ms", "--misbehave=gap,every=3; swap", "--misbehave=cut=1s,every=20", "--truth", truth)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	said := bufio.NewScanner(pipe)
	for said.Scan() && said.Text() != "devices:" {
	}
	snippet := "devices:\n"
	for said.Scan() && said.Text() != "" {
		snippet += said.Text() + "\n"
	}
	config, err := gatewayconfig.Parse("gateway.yaml", []byte("gateway: {id: gw}\nforward: {kafka: {brokers: [\"localhost:9092\"]}}\nbuffer: {path: data}\n"+snippet))
	if err != nil || config.Devices[0].Sparkplug == nil || config.Devices[0].Sparkplug.Broker != "tcp://"+b.Address {
		t.Errorf("%v\n%s", err, snippet)
	}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(truth)
		if strings.Contains(string(text), `"metric":"TotW"`) && strings.Contains(string(text), `"how":"gap"}`) && strings.Contains(string(text), `"node":"edge-2","how":"cut"}`) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("in vain: %s", text)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	births := 0
	for _, m := range w.Messages() {
		if strings.HasPrefix(m.Topic, "spBv1.0/sim/NBIRTH/edge-") {
			births++
		}
	}
	if births < 2 {
		t.Errorf("%d births", births)
	}
}
