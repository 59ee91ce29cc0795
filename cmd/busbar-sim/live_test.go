package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/sim/truth"
	"github.com/busbar/busbar/test/await"
)

// A grid is played; faults are caused and repaired from another process; it ends by a
// signal, and the truth in its file and in a topic says all of it.
func TestLiveIsActedUponFromOutside(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	dir := t.TempDir()
	command := exec.Command(binary, "live", "service", "--lasts", "240h", "--speed", "600", "--listen", "127.0.0.1:0",
		"--evidence", filepath.Join(dir, "evidence"), "--truth", "kafka:", "--kafka", broker.ListenAddrs()[0])
	out := filepath.Join(dir, "out")
	file, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() { _ = command.Process.Kill() })
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	var at string
	await.True(t, "it says where it is", func() bool {
		if m := regexp.MustCompile(`http://([0-9.:]+)/`).FindStringSubmatch(read(out)); m != nil {
			at = m[1]
		}
		return at != ""
	})
	ask := func(code int, args ...string) string {
		t.Helper()
		return simulate(t, code, append(args, "--at", at)...)
	}
	if said := ask(0, "fault", "NORTH", "--id", "digger"); !strings.Contains(said, "digger: north-1, permanent") {
		t.Error(said)
	}
	await.True(t, "the breaker locks out", func() bool { return strings.Contains(ask(0, "status"), "north-breaker (breaker), locked out") })
	if said := ask(0, "status"); !strings.Contains(said, "of 30 service points are out") || !strings.Contains(said, "fault   digger: north-1, permanent; open for it: north-breaker") {
		t.Error(said)
	}
	if said := ask(0, "repair", "digger", "--close"); !strings.Contains(said, "digger: north-1, gone") {
		t.Error(said)
	}
	if said := ask(0, "switch", "open", "south-switch"); !strings.Contains(said, "south-switch open") {
		t.Error(said)
	}
	if said := ask(0, "cut-off", "gw-mill", "--for", "1h"); !strings.Contains(said, "gw-mill") {
		t.Error(said)
	}
	if said := ask(0, "speed", "0"); !strings.Contains(said, "speed 0") {
		t.Error(said)
	}
	if said := ask(2, "fault", "nowhere"); !strings.Contains(said, "nowhere") {
		t.Error(said)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("%v: %s", err, read(out))
	}
	if said := simulate(t, 1, "status", "--at", at); !strings.Contains(said, "start it by busbar-sim live") {
		t.Error(said)
	}
	if !strings.Contains(read(filepath.Join(dir, "evidence")), `"kind":"last-gasp"`) {
		t.Error("no evidence of the outage")
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.ConsumeTopics("busbar.truth"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	happened := map[string]int{}
	for happened[truth.Stop] == 0 {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			var r truth.Record
			if err := json.Unmarshal(k.Value, &r); err != nil {
				t.Fatal(err)
			}
			happened[r.What]++
		})
	}
	for _, what := range []string{truth.Start, "fault-begin", "lockout", truth.Outage, "repaired", truth.OutageEnd, "open", truth.CutOff} {
		if happened[what] == 0 {
			t.Errorf("the truth has no %s: %v", what, happened)
		}
	}
}

func TestPricesAndNominations(t *testing.T) {
	dir := t.TempDir()
	written := func(name string, seed int) (prices, nominations []byte) {
		p, n := filepath.Join(dir, name+"-prices"), filepath.Join(dir, name+"-nominations")
		simulate(t, 0, "scenario", "run", "market", "--seed", fmt.Sprint(seed), "--prices", p, "--nominations", n)
		for path, into := range map[string]*[]byte{p: &prices, n: &nominations} {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			*into = text
		}
		return prices, nominations
	}
	prices, nominations := written("a", 1)
	again, againNominations := written("b", 1)
	other, otherNominations := written("c", 2)
	if !bytes.Equal(prices, again) || !bytes.Equal(nominations, againNominations) {
		t.Error("the same seed writes something else")
	}
	if bytes.Equal(prices, other) || bytes.Equal(nominations, otherNominations) {
		t.Error("another seed writes the same")
	}
	for name, text := range map[string][]byte{"prices": prices, "nominations": nominations} {
		if n := bytes.Count(text, []byte("\n")); n != 1+96+92 {
			t.Errorf("%s: %d lines, want a head, and 96 and 92 quarter-hours", name, n)
		}
	}
}

func TestFleetRefusals(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"keys"}, "expected a scenario or --points"},
		{[]string{"keys", "--points", "10", "--per-gateway=-1", "--secret", filepath.Join(dir, "key")}, "service points a gateway"},
		{[]string{"keys", "--points", "2000000"}, "service_points"},
		{[]string{"run", "--points", "10"}, "--kafka is missing"},
		{[]string{"run", "--points", "10", "--kafka", "elsewhere.example:9092"}, "plaintext"},
		{[]string{"run", "--points", "10", "--kafka", "127.0.0.1:1", "--speed=-1"}, "--speed"},
	} {
		if out := simulate(t, 2, append([]string{"fleet"}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%v: %s", c.args, out)
		}
	}
}
