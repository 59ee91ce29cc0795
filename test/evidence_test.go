package test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/test/kafka"
)

// What the meter on feeder-2 says of an outage is in the topic of evidence under the key of
// its substation, once, though the cloud is killed meanwhile; and the consumer in docs/kafka.md
// joins it with what was measured before.
func TestEvidenceOnRealKafka(t *testing.T) {
	t.Parallel()
	cluster, prefix := kafka.SharedWithoutTopics(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	edge := must(cluster.Gateway(ctx, prefix, "north-gw1"))(t)
	cloud := must(cluster.Cloud(ctx, prefix))(t)
	s := newSite(t, cluster.Brokers()[0], "faults:\n  - {at: 8s, feeder: feeder-2, kind: outage, for: 600s}\n")
	s.onKafka(t, edge.MTLS(), cloud.SCRAM())
	s.edit(t, "cloud.yaml", "log:\n", "measurements: {}\nevidence: {}\nlog:\n")
	write(t, s.dir, "grid.yaml", `
substations: [{id: mill}]
sources: [{id: source, node: bar}]
nodes: [{id: bar, type: busbar, substation: mill}]
switches: [{id: b1, from: bar, to: n1, type: breaker}, {id: b2, from: bar, to: n2, type: breaker}]
feeders: [{id: f1, head: b1, substation: mill}, {id: f2, head: b2, substation: mill}]
service_points: [{id: feeder-1, node: n1, customers: 1}, {id: feeder-2, node: n2, customers: 1}]
`)
	running := s.cloud(t)
	running.awaitLog("cloud started")
	load := exec.Command(filepath.Join(bin, "busbar-cloud"), "grid", "import", "--config", "cloud.yaml", "grid.yaml")
	load.Dir = s.dir
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.gateway(t)
	s.sim(t)
	_, section, _ := strings.Cut(readFile(t, "../docs", "kafka.md"), "\n## A streaming join\n")
	joined := runConsumer(t, ctx, cluster, prefix, section, "python")

	volts := regexp.MustCompile(`(?m)^mill feeder-2 voltage \d+ PhV\.phsA (\S+) V$`)
	await(t, "a voltage joined with what was measured before", time.Minute, func() bool { return volts.MatchString(readFile(t, joined.log)) })
	for _, m := range volts.FindAllStringSubmatch(readFile(t, joined.log), -1) {
		if !strings.HasPrefix(m[1], "2") { // it was there until then
			t.Errorf("%s, expected a voltage of before the outage", m[0])
		}
	}

	// Calls come while the cloud is killed.
	const calls = 12
	for n := range calls {
		if n%4 == 3 {
			running.kill()
			running = s.cloud(t)
		}
		body := fmt.Sprintf(`{"service_point":"feeder-2","says":"no-supply","by":"maria","text":"call %d"}`, n)
		await(t, "a call is kept", time.Minute, func() bool {
			response, err := http.Post("http://"+s.console+"/api/v1/calls", "application/json", strings.NewReader(body))
			if err != nil {
				return false
			}
			defer response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
	}
	name := prefix + "-check"
	user := must(cluster.User(ctx, prefix, name, "reader", kafka.ReaderRights(prefix, name)))(t)
	options := must(user.SCRAM().Options(""))(t)
	client := must(kgo.NewClient(append(options, kgo.ConsumeTopics(prefix+".evidence"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...))(t)
	defer client.Close()
	var read []int64
	told := 0
	poll := func() {
		t.Helper()
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d calls: %v", told, calls, err)
		}
		for r := range fetches.RecordsAll() {
			var e struct {
				Number                  int64
				Kind, Asset, Substation string
			}
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind == "call" {
				told++
			}
			if string(r.Key) != e.Substation || e.Asset == "feeder-2" && e.Substation != "mill" || strings.Contains(string(r.Value), "maria") {
				t.Errorf("key %q of %s", r.Key, r.Value)
			}
			read = append(read, e.Number)
		}
	}
	for told < calls {
		poll()
	}
	last := slices.Max(read)
	running.stop()
	var stored []int64
	if err := s.history(t).Read(ctx, func(tx *store.Tx) error {
		return tx.Each(func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			stored = append(stored, n)
			return err
		}, `SELECT seq FROM outage_evidence WHERE kind NOT IN ('network', 'plan') AND seq <= ? ORDER BY seq`, last)
	}); err != nil {
		t.Fatal(err)
	}
	for slices.ContainsFunc(stored, func(n int64) bool { return !slices.Contains(read, n) }) {
		poll() // partitions are read in any order
	}
	read = slices.DeleteFunc(read, func(n int64) bool { return n > last })
	slices.Sort(read)
	if !slices.Equal(read, stored) {
		t.Errorf("%v is in the topic, %v in the store", read, stored)
	}
}
