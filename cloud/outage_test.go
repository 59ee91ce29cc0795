package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/database"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// darkTown is a feeder with so many meters behind its breaker, which nothing tells of.
func darkTown(meters int) string {
	var b strings.Builder
	b.WriteString("sources: [{id: source, node: bar}]\nsubstations: [{id: station}]\nnodes: [{id: bar, type: busbar, substation: station}]\n")
	b.WriteString("switches: [{id: breaker, from: bar, to: head, type: breaker, substation: station}]\nfeeders: [{id: feeder, head: breaker}]\nlines:\n")
	for n := range 4 {
		fmt.Fprintf(&b, "  - {id: line-%d, from: head, to: end-%d}\n", n, n)
	}
	b.WriteString("service_points:\n")
	for n := range meters {
		fmt.Fprintf(&b, "  - {id: point-%d, node: end-%d, customers: 1}\n", n, n%4)
	}
	return b.String()
}

// cpu is what the process has used of the processor.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// station is the gateway station-gw, of which only events come.
type station struct {
	*testing.T
	seq uint64
}

func (s *station) send(client *kgo.Client, list ...telemetry.Event) {
	s.Helper()
	var records []*kgo.Record
	for _, e := range list {
		e.Time, e.Decided = telemetry.MicrosOf(time.Now()), telemetry.MicrosOf(time.Now())
		payload, err := json.Marshal(e)
		if err != nil {
			s.Fatal(err)
		}
		id := record.Identity{Gateway: "station-gw", Epoch: 1, Stream: record.Events, First: s.seq, Last: s.seq}
		s.seq++
		r := &kgo.Record{Topic: record.TopicsOf("").Events(), Key: []byte(id.Gateway), Value: payload}
		for _, h := range (record.Record{Identity: id, Format: record.FormatEvent, Payload: payload}).Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		records = append(records, identitytest.Sign(r))
	}
	if err := client.ProduceSync(s.Context(), records...).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

// Every meter of a feeder has an alarm, and people are told of one.
func TestAFeedersOutageHasOneAlarm(t *testing.T) { feedersOutage(t, embedded(t), 300) }

func TestTortureAFeedersOutageHasOneAlarm(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE=1")
	}
	t.Run("sqlite", func(t *testing.T) { feedersOutage(t, embedded(t), 10_000) })
	t.Run("postgres", func(t *testing.T) {
		config := embedded(t)
		config.Store = Store{Config: database.Config{Postgres: &database.Postgres{URL: storetest.Postgres(t).Postgres.URL}}}
		feedersOutage(t, config, 10_000)
	})
}

func feedersOutage(t *testing.T, config Config, meters int) {
	dir := t.TempDir()
	used := cpu(t)
	spent := func(on string) {
		now := cpu(t)
		t.Logf("%d meters, %s: %.1f CPU s", meters, on, (now - used).Seconds())
		used = now
	}
	quick := outage.Defaults()
	quick.Settle, quick.Hurry, quick.BreakerReclose, quick.Return = 500*time.Millisecond, 2*time.Second, 500*time.Millisecond, 500*time.Millisecond
	quick.Verify = time.Second
	start := func() (c *Cloud, client *kgo.Client, stop func()) {
		c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		c.outages = desk.New(desk.Config{Store: c.store, Logger: quiet, Engine: &quick})
		if client, err = kgo.NewClient(kgo.SeedBrokers(c.embedded.Addr())); err != nil {
			t.Fatal(err)
		}
		end := run(t, c)
		return c, client, func() { client.Close(); end() }
	}
	c, client, stop := start()
	m, findings := gridfile.ReadYAML("town.yaml", []byte(darkTown(meters)))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(t.Context(), c.store); err != nil {
		t.Fatal(err)
	}
	identitytest.Enrol(t, c.store, "station-gw")
	send := (&station{T: t}).send
	alarms := func(kind telemetry.EventKind) (list []telemetry.Event) {
		for n := range meters {
			list = append(list, telemetry.Event{Kind: kind, Alarm: &telemetry.AlarmChange{ID: fmt.Sprintf("a%d", n), Rule: "voltage-interruption",
				Asset: fmt.Sprintf("point-%d", n), Device: fmt.Sprintf("meter-%d", n), Priority: telemetry.High, Summary: "It is without voltage"}})
		}
		return list
	}
	handlers := map[*Cloud]http.Handler{}
	ask := func(c *Cloud, path string, into any) {
		t.Helper()
		answer := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.Host = "localhost"
		if handlers[c] == nil {
			handlers[c] = c.handler(time.Now())
		}
		handlers[c].ServeHTTP(answer, r)
		if answer.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
		}
		if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	one := func(c *Cloud, what string, is func(desk.Outage) bool) (o desk.Outage) {
		t.Helper()
		await.True(t, what, func() bool {
			var list struct{ Outages []desk.Outage }
			ask(c, "/api/v1/outages", &list)
			if len(list.Outages) == 1 {
				o = list.Outages[0]
			}
			return len(list.Outages) == 1 && is(o)
		})
		return o
	}
	send(client, telemetry.Event{Kind: telemetry.GatewayStarted, Lifecycle: &telemetry.Lifecycle{Version: "test", Start: 1, Presence: &telemetry.Presence{Every: 60_000_000, Site: "station"}}})
	send(client, alarms(telemetry.AlarmRaised)...)
	o := one(c, "one outage that stands for all", func(o desk.Outage) bool { return o.Announced != nil && o.Alarms == int64(meters) })
	if o.Device != "breaker" || o.CustomersOut != int64(meters) {
		t.Errorf("%+v", o)
	}
	loud := 0
	for cursor := ""; ; {
		var list struct {
			Alarms []alarm.Alarm
			Next   *string
		}
		ask(c, "/api/v1/alarms?limit=1000&cursor="+cursor, &list)
		for _, a := range list.Alarms {
			if !a.Quiet() {
				loud++
			}
		}
		if list.Next == nil {
			break
		}
		cursor = *list.Next
	}
	tellsOne := func(when string) {
		t.Helper()
		told, err := alarm.Annunciations(t.Context(), c.store, 0, telemetry.MicrosOf(time.Now().Add(time.Hour)), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(told) != 1 || told[0].Alarm != o.Alarm {
			t.Errorf("%s people were told of %d: %+v", when, len(told), told)
		}
	}
	if tellsOne("in the outage"); loud != 1 {
		t.Errorf("%d alarms ask for attention", loud)
	}
	spent("one alarm")
	// Who begins again knows the same.
	stop()
	c, client, stop = start()
	defer stop()
	if again := one(c, "it is there", func(desk.Outage) bool { return true }); again.ID != o.ID || again.Found != o.Found {
		t.Errorf("%+v, was %+v", again, o)
	}
	send(client, alarms(telemetry.AlarmCleared)...)
	one(c, "supply is back, and verified", func(o desk.Outage) bool { return o.State == "verified" && o.CustomersOut == 0 })
	tellsOne("after it")
	spent("the start, and supply back")
}
