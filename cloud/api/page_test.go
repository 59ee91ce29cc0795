package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// page gets a page of a list and where the next one is, as the answer and the header
// say it alike.
func (b *bench) page(path, list string) (entries []string, next string) {
	b.t.Helper()
	response, err := http.Get(b.server.URL + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]json.RawMessage
	var raw []json.RawMessage
	var cursor *string
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != 200 {
		b.t.Fatalf("%s: %s %v %s", path, response.Status, err, answer["detail"])
	}
	if json.Unmarshal(answer[list], &raw) != nil || json.Unmarshal(answer["next"], &cursor) != nil {
		b.t.Fatalf("%s: %s", path, answer)
	}
	for _, e := range raw {
		entries = append(entries, lasting(b.t, e))
	}
	link := response.Header.Get("Link")
	if (cursor == nil) != (link == "") {
		b.t.Fatalf("%s: next %v, Link %q", path, cursor, link)
	}
	if cursor == nil {
		return entries, ""
	}
	next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	if at, err := url.Parse(next); err != nil || at.Query().Get("cursor") != *cursor {
		b.t.Fatalf("%s: next %s, Link %q", path, *cursor, link)
	}
	return entries, next
}

// lasting is what of an entry stays as it is while others are added.
func lasting(t *testing.T, entry json.RawMessage) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(entry, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"to_us", "last_record_us", "totals", "epochs", "received"} {
		delete(fields, name)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever is added while someone turns the pages of a list: they have each entry that
// was there, once and in the same order.
func TestListsHavePages(t *testing.T) {
	b := newBench(t)
	write := func(do func(*store.Tx) error) {
		t.Helper()
		if err := b.store.Write(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	const devices = 3
	// Each round adds an entry to the beginning, the middle or the end of every list.
	rounds := 0
	add := func() {
		n := rounds
		rounds++
		at := telemetry.Micros(1_000_000 + n%3*1000)
		name := fmt.Sprintf("%c%d", 'a'+(n*7)%26, n)
		epoch := record.Epoch(100 + n)
		write(func(tx *store.Tx) error {
			if err := tx.SaveBirth(record.Birth{Gateway: name, Table: fmt.Sprintf("%016x", 9+n), Version: 1, Parts: 1, Signals: []telemetry.Signal{
				{ID: 1, Device: "m" + name, Name: "DmdWh", Unit: "W.h", Kind: telemetry.Counter}}}); err != nil {
				return err
			}
			for i := range telemetry.Micros(devices) {
				if err := tx.SaveControl(record.Identity{Gateway: "g", Epoch: epoch, First: uint64(i)}, telemetry.Control{ID: name, Action: telemetry.ControlSelect, Outcome: telemetry.ControlDone, Detail: fmt.Sprint(i)}, at); err != nil {
					return err
				}
			}
			if err := tx.SaveCounter("gw", telemetry.CounterReset, telemetry.CounterChange{Device: name, Name: "DmdWh", Unit: "W.h", BeforeTime: 1, AfterTime: at}); err != nil {
				return err
			}
			if err := tx.AnswerCommand("gw", telemetry.CommandAnswer{ID: name, Kind: "ping", Result: telemetry.CommandDone}, at); err != nil {
				return err
			}
			for i, stream := range []string{"events", "telemetry", "backfill"} {
				change := telemetry.Link{Stream: stream, State: "down", Was: "up"}
				if i == 1 && n%2 == 1 {
					change = telemetry.Link{Stream: stream, State: "throttled", Was: "down"}
				}
				if err := tx.SaveLink("gw", change, telemetry.Micros(1000*(n+1))); err != nil {
					return err
				}
			}
			return tx.Expect("gw", telemetry.Committed{Epoch: epoch.String(), Stream: "telemetry", Count: uint64(n)})
		})
		if err := b.store.AddCommand(t.Context(), record.Command{ID: "c" + name, Gateway: "gw", Kind: "ping", Issued: at, Expires: at + 1}); err != nil {
			t.Fatal(err)
		}
		b.raise("alarm-" + name)
		b.eventually("/api/v1/alarms?limit=1000", func(a map[string]any) bool { return len(alarms(a)) == rounds })
	}
	for range 5 {
		add()
	}
	quarter := telemetry.Quarter
	for path, list := range map[string]string{
		"/api/v1/alarms?state=open":                         "alarms",
		"/api/v1/alarms?state=all":                          "alarms",
		"/api/v1/events?gateway=gw":                         "events",
		"/api/v1/series":                                    "series",
		"/api/v1/gateways":                                  "gateways",
		"/api/v1/gateways/gw/epochs":                        "epochs",
		"/api/v1/gateways/gw/links?from_us=0&to_us=1000000": "outages",
		"/api/v1/commands?gateway=gw":                       "commands",
		"/api/v1/controls?gateway=g":                        "controls",
		"/api/v1/counter-changes?from_us=0&to_us=9000000":   "changes",
		fmt.Sprintf("/api/v1/completeness?from_us=%d&to_us=%d", quarter, 2*quarter): "devices",
	} {
		sign := "?"
		if strings.Contains(path, "?") {
			sign = "&"
		}
		before, rest := b.page(path+sign+"limit=1000", list)
		if len(before) < 5 || rest != "" {
			t.Fatalf("%s: %d entries, and then %q", path, len(before), rest)
		}
		var turned []string
		for next := path + sign + "limit=2"; next != ""; {
			var page []string
			page, next = b.page(next, list)
			if len(page) > 2 || len(page) == 0 {
				t.Fatalf("%s: a page of %d", path, len(page))
			}
			turned = append(turned, page...)
			if len(turned) == 2 {
				add()
			}
		}
		at := 0
		for _, entry := range turned {
			if at < len(before) && entry == before[at] {
				at++
			}
		}
		if at < len(before) {
			t.Errorf("%s: the pages don't have %s\n in %q\nof %q", path, before[at], turned, before)
		}
		slices.Sort(turned)
		if once := slices.Compact(slices.Clone(turned)); len(once) != len(turned) {
			t.Errorf("%s: the pages have %d entries, %d of them once", path, len(turned), len(once))
		}
	}
	for _, cursor := range []string{"x", "eyJ9", "%00", cursorOf(t, b, "/api/v1/events?limit=1")} {
		if status, answer := b.call("GET", "/api/v1/alarms?cursor="+cursor, ""); status != 404 || !strings.Contains(fmt.Sprint(answer["detail"]), "cursor") {
			t.Errorf("cursor %q: %d %v", cursor, status, answer)
		}
	}
}

func cursorOf(t *testing.T, b *bench, path string) string {
	t.Helper()
	_, answer := b.call("GET", path, "")
	cursor, _ := answer["next"].(string)
	if cursor == "" {
		t.Fatalf("%s: %v", path, answer)
	}
	return cursor
}

func TestParametersWithoutAValueAreRefused(t *testing.T) {
	b := newBench(t)
	for query, want := range map[string]int{"gateways?stored=": 422, "gateways?limit=": 422, "gateways?cursor=": 200, "commands?gateway=": 200, "alarms?state=": 422, "alarms?limit=0": 422, "alarms?limit=1001": 422} {
		if status, answer := b.call("GET", "/api/v1/"+query, ""); status != want {
			t.Errorf("%s: %d %v, want %d", query, status, answer["detail"], want)
		}
	}
}

func TestEpochsOfAGateway(t *testing.T) {
	b := newBench(t)
	err := b.store.Write(t.Context(), func(tx *store.Tx) error {
		for n := range mostEpochs + 5 {
			if err := tx.Expect("gw", telemetry.Committed{Epoch: record.Epoch(n + 1).String(), Stream: "telemetry", Count: 2}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, answer := b.call("GET", "/api/v1/gateways", "")
	g := answer["gateways"].([]any)[0].(map[string]any)
	total := g["totals"].([]any)[0].(map[string]any)
	if len(g["epochs"].([]any)) != mostEpochs || total["epochs"] != float64(mostEpochs+5) || total["lost"] != float64(2*(mostEpochs+5)) || total["running"] != 0.0 {
		t.Errorf("%d epochs and %v", len(g["epochs"].([]any)), total)
	}
	if all, _ := b.page("/api/v1/gateways/gw/epochs", "epochs"); len(all) != mostEpochs+5 {
		t.Errorf("%d epochs, want %d", len(all), mostEpochs+5)
	}
	if status, _ := b.call("GET", "/api/v1/gateways/none/epochs", ""); status != 404 {
		t.Errorf("an unknown gateway: %d", status)
	}
}
