package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/asset"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// get asks as somebody, and expects a status.
func (z *zoned) get(t *testing.T, who, path string, want int, into any) {
	t.Helper()
	status, answer := z.ask(z.tokens[who], "GET", path, "")
	if status != want {
		t.Errorf("%s: %d %s", path, status, answer)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func (z *zoned) assets(t *testing.T) {
	ids := func(who, query string) string {
		var list struct{ Assets []Asset }
		z.get(t, who, "/api/v1/assets?"+query, 200, &list)
		var out []string
		for _, a := range list.Assets {
			out = append(out, a.ID)
		}
		return strings.Join(out, " ")
	}
	for query, want := range map[string]string{
		"":              "border foreign-feeder foreign-hv foreign-line foreign-point foreign-source foreign-zone own-end own-feeder own-line own-part own-point own-zone",
		"zone=own-zone": "own-end own-feeder own-line own-part own-point own-zone",
		"zone=own-part": "own-end own-feeder own-line own-part own-point",
		"kind=line":     "foreign-line own-line", "feeder=own-feeder": "own-end own-feeder own-line own-point",
		"text=N-LINE": "foreign-line own-line", "text=%25": "", "text=own_line": "", "text=n-l&kind=node": "", "substation=x": "",
		// Both feeders are, by own-meter and foreign-meter, and own-line by foreign-meter.
		"unmeasured=true": "foreign-point own-point", "unmeasured=true&kind=line": "foreign-line",
	} {
		if got := ids("viewer*", query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	// What a foreign gateway measures of their own line isn't there for them.
	if got := ids("viewerown-zone", "unmeasured=true&kind=line"); got != "own-line" {
		t.Errorf("unmeasured lines of their zone: %s", got)
	}
	if got := ids("viewerown-zone", ""); got != "own-end own-feeder own-line own-part own-point own-zone" {
		t.Errorf("of their zone and below they see %s", got)
	}

	var own, all AssetDetail
	z.get(t, "viewerown-zone", "/api/v1/assets/own-feeder", 200, &own)
	z.get(t, "viewer*", "/api/v1/assets/own-feeder", 200, &all)
	path := func(d AssetDetail) (list []string) {
		for _, r := range d.SuppliedBy {
			list = append(list, r.ID)
		}
		return list
	}
	if got := path(own); !slices.Equal(got, []string{"own-line"}) {
		t.Errorf("of the way to the source they see %v", got)
	}
	if got := path(all); !slices.Equal(got, []string{"own-line", "foreign-line", "foreign-source"}) {
		t.Errorf("the way to the source is %v", got)
	}
	if own.Behind.Customers != 3 || own.Energised != "ABC" || own.Properties["head"] != "own-line" {
		t.Errorf("%+v", own)
	}
	if len(own.Series) != 1 || own.Series[0].Device != "own-meter" || own.Series[0].Latest == nil || len(own.Alarms) != 1 || own.Alarms[0].ID != "own-alarm" {
		t.Errorf("what is measured there: %+v, and its alarms: %+v", own.Series, own.Alarms)
	}
	z.get(t, "viewer*", "/api/v1/assets/foreign-feeder", 200, &all)
	if all.Behind != (AssetBehind{2, 8}) {
		t.Errorf("%+v", all.Behind)
	}
	z.get(t, "viewerown-zone", "/api/v1/assets/foreign-feeder", 404, nil)
	z.get(t, "viewer*", "/api/v1/assets/"+url.PathEscape("a/b"), 404, nil)

	// How their line does they are told without what a foreign gateway measures of it.
	var theirs, whole asset.AssetHealth
	z.get(t, "viewerown-zone", "/api/v1/assets/own-line/health", 200, &theirs)
	z.get(t, "viewer*", "/api/v1/assets/own-line/health", 200, &whole)
	if theirs.Communication.Signals != 0 || theirs.Communication.Unknown != asset.NotMeasured || whole.Communication.Signals == 0 || theirs.Supply.State != "dead" || theirs.Loading.Unknown != asset.NotMeasured {
		t.Errorf("how it does: %+v, and for who sees all %+v", theirs, whole)
	}
	z.get(t, "viewerown-zone", "/api/v1/assets/foreign-line/health", 404, nil)
	z.get(t, "viewer*", "/api/v1/assets/nothing/health", 404, nil)

	var sum struct {
		Version int64
		Next    *int64 `json:"next_change_us"`
		Of      *GridVersion
		Kinds   []GridCount
	}
	z.get(t, "viewerown-zone", "/api/v1/grid", 200, &sum)
	if got := fmt.Sprint(sum.Of, sum.Kinds); got != "<nil> [{feeder 1 0} {line 1 0} {node 1 0} {service_point 1 3} {zone 2 0}]" {
		t.Errorf("of the network they see %s", got)
	}
	if sum.Next != nil {
		t.Errorf("they see that something of another zone goes at %d", *sum.Next)
	}

	var unknown struct {
		Assets []UnknownAsset
		Next   *string
	}
	z.get(t, "viewer*", "/api/v1/grid/unknown-assets?limit=1", 200, &unknown)
	if got := fmt.Sprint(unknown.Assets); got != "[{foreign-lost foreign foreign-meter}]" || unknown.Next == nil {
		t.Fatalf("%s", got)
	}
	z.get(t, "viewer*", "/api/v1/grid/unknown-assets?limit=1&cursor="+*unknown.Next, 200, &unknown)
	if got := fmt.Sprint(unknown.Assets); got != "[{own-lost own own-meter}]" || unknown.Next != nil {
		t.Errorf("%s", got)
	}

	// Another model is noticed at the next request.
	z.put(t, "", strings.Replace(zonedNetwork, "customers: 3", "customers: 4", 1), 200, `"new":true`)
	z.put(t, "", zonedNetwork, 200, `"new":true,"changes":{"added":0,"changed":1,"removed":0}`)
	z.put(t, "?dry_run=true", "", 400, "")
	z.put(t, "", "name: North\n", 422, "the model has no assets")
	z.put(t, "", strings.Replace(zonedNetwork, "to: own-end", "to: nowhere", 1), 422, "nothing supplies it: no line, switch or transformer is at node own-end [not-connected]")
	z.get(t, "viewer*", "/api/v1/grid", 200, &sum)
	if sum.Of == nil || sum.Version != sum.Of.Version || sum.Of.By != "token:engineer-all" || sum.Of.Warnings != 2 || sum.Next == nil {
		t.Errorf("%+v, the next change: %v", sum.Of, sum.Next)
	}
	first := sum.Version
	var found struct {
		Findings []GridFinding
		Next     *string
	}
	z.get(t, "viewer*", "/api/v1/grid/findings?limit=1", 200, &found)
	if len(found.Findings) != 1 || found.Next == nil {
		t.Fatalf("%+v", found)
	}
	next := *found.Next
	z.get(t, "viewer*", "/api/v1/grid/findings?limit=1&cursor="+next, 200, &found)
	if len(found.Findings) != 1 || found.Next != nil || found.Findings[0].Asset != "own-feeder" || found.Findings[0].Place != "the model:9:5" {
		t.Errorf("%+v", found)
	}
	z.put(t, "", strings.Replace(zonedNetwork, "customers: 3", "customers: 5", 1), 200, fmt.Sprintf(`"version":{"version":%d,`, first+1))
	z.get(t, "viewer*", "/api/v1/grid/findings?limit=1&cursor="+next, 404, nil)
	z.get(t, "viewer*", fmt.Sprintf("/api/v1/grid/model?version=%d", first+2), 404, nil)
	// Models are sent one after the other, whatever has become of the one before.
	for range 2 {
		if status, answer := z.ask(z.tokens["viewer*"], "GET", "/api/v1/grid/model", ""); status != 200 || !strings.Contains(answer, "customers: 5") {
			t.Errorf("%d %s", status, answer)
		}
	}
	// One that is sent to a client that doesn't take it keeps nobody from importing.
	stuck := stuckWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	request := httptest.NewRequestWithContext(t.Context(), "GET", z.server.URL+"/api/v1/grid/model", nil)
	request.Header.Set("Authorization", "Bearer "+z.tokens["viewer*"])
	var sending sync.WaitGroup
	sending.Go(func() { z.server.Config.Handler.ServeHTTP(stuck, request) })
	<-stuck.begun
	z.put(t, "?dry_run=true", zonedNetwork, 200, `"new":true`)
	close(stuck.taken)
	sending.Wait()
	if !strings.Contains(stuck.Body.String(), "customers: 5") {
		t.Errorf("%s", stuck.Body)
	}
}

// stuckWriter says when the first part is written, which ends when taken is closed.
type stuckWriter struct {
	*httptest.ResponseRecorder
	begun, taken chan struct{}
}

func (w stuckWriter) Write(p []byte) (int, error) {
	close(w.begun)
	<-w.taken
	return w.ResponseRecorder.Write(p)
}

func (stuckWriter) SetWriteDeadline(time.Time) error { return nil }

func (z *zoned) put(t *testing.T, query, model string, want int, says string) {
	t.Helper()
	status, answer := z.send(z.tokens["engineer*"], "PUT", "/api/v1/grid/model"+query, model, "application/yaml")
	if status != want || !strings.Contains(answer, says) {
		t.Errorf("%d %s", status, answer)
	}
}

// The map and the drawings of feeders tell each of what they see, and are known again.
func TestMapOfTheNetwork(t *testing.T) {
	z := newZoned(t)
	var all, own GridMap
	z.get(t, "viewer*", "/api/v1/grid/map", 200, &all)
	z.get(t, "viewerown-zone", "/api/v1/grid/map", 200, &own)
	if got := fmt.Sprint(all.Points.ID, all.Points.X, all.Points.Y, all.Points.Customers, all.Feeders, all.Lines.ID, all.Nowhere, all.X0, all.Y0); got !=
		"[foreign-point own-point] [0 7500000] [0 10000000] [5 3] [foreign-feeder own-feeder] [own-line] {0 1 0} 1 2" {
		t.Errorf("the map has %s", got)
	}
	if got := fmt.Sprint(own.Points.ID, own.Feeders, own.Lines.ID, own.Nowhere); got != "[own-point] [own-feeder] [own-line] {0 0 0}" {
		t.Errorf("of their zone they see %s", got)
	}
	tag := func(who, known string) (int, string) {
		request := httptest.NewRequestWithContext(t.Context(), "GET", z.server.URL+"/api/v1/grid/map", nil)
		request.RequestURI = ""
		request.Header.Set("Authorization", "Bearer "+z.tokens[who])
		request.Header.Set("If-None-Match", known)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode, response.Header.Get("ETag")
	}
	_, known := tag("viewer*", "")
	if status, again := tag("viewer*", known); status != 304 || again != known {
		t.Errorf("the same map: %d %s", status, again)
	}
	if status, other := tag("viewerown-zone", known); status != 200 || other == known {
		t.Errorf("that of a zone: %d %s", status, other)
	}
	z.put(t, "", strings.Replace(zonedNetwork, "4 6", "4 7", 1), 200, `"new":true`)
	if status, _ := tag("viewer*", known); status != 200 {
		t.Errorf("after a change: %d", status)
	}
	var line OneLine
	z.get(t, "viewerown-zone", "/api/v1/assets/own-feeder/one-line", 200, &line)
	if got := fmt.Sprintf("%d %q %s %s %d", len(line.Nodes), line.Nodes[0].ID, line.Nodes[1].ID, line.Branches[0].ID, line.Nodes[1].Customers); got != `2 "" own-end own-line 3` {
		t.Errorf("the drawing: %s", got)
	}
	z.get(t, "viewerown-zone", "/api/v1/assets/foreign-feeder/one-line", 404, nil)
}

// A feeder is as what feeds it, and a service point out, also where the outage is of a zone
// that isn't seen.
func TestWhatHasSupply(t *testing.T) {
	z := newZoned(t)
	state := func(of, state string) {
		t.Helper()
		err := z.store.Write(t.Context(), func(t *store.Tx) error {
			_, err := t.Exec(`UPDATE outage SET state = ? WHERE id = ?`, state, of)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	says := func(want string) {
		t.Helper()
		var fed Feeding
		var out, all GridOut
		z.get(t, "viewerown-zone", "/api/v1/assets/own-feeder/one-line/feeding", 200, &fed)
		z.get(t, "viewerown-zone", "/api/v1/grid/out", 200, &out)
		z.get(t, "viewer*", "/api/v1/grid/out", 200, &all)
		if got := fmt.Sprint(fed.Feeder, " ", fed.Source, " ", fed.Dead, fed.Ties, " ", out.Points, " ", out.Out, out.Maybe, " ", all.Points, " ", all.Out, all.Maybe); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	says("own-feeder dead [] [] o 1 0 oo 2 0")
	state("foreign-outage", "probable")
	state("own-outage", "suspected")
	says("own-feeder unknown [] [] m 0 1 mm 0 2")
	state("foreign-outage", "restored")
	says("own-feeder live [] [] m 0 1 om 1 1")
	if err := z.store.Write(t.Context(), func(t *store.Tx) error {
		_, err := t.Exec(`UPDATE outage_point SET until = 2`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	says("own-feeder live [] [] - 0 0 -- 0 0")
	z.get(t, "viewerown-zone", "/api/v1/assets/foreign-feeder/one-line/feeding", 404, nil)
}

// Of a service point that nothing measures, or only gateways that are silent, nothing is known.
func TestWhatIsHeardOfTheNetwork(t *testing.T) {
	z := newZoned(t)
	// The meter of each gateway is of this point now.
	z.put(t, "", strings.NewReplacer("foreign-point", "foreign-lost", "own-point", "own-lost").Replace(zonedNetwork)+"  - {id: bare-point, node: own-end, position: 4 6}\n", 200, `"new":true`)
	heard := func(who string) string {
		t.Helper()
		var seen GridMap
		var heard GridHeard
		z.get(t, who, "/api/v1/grid/map", 200, &seen)
		z.get(t, who, "/api/v1/grid/heard", 200, &heard)
		if heard.Version != seen.Version || heard.AsOf != seen.AsOf || len(heard.Points) != len(seen.Points.ID) {
			t.Fatalf("%+v isn't of that map %+v", heard, seen)
		}
		said := ""
		for i, id := range seen.Points.ID {
			said += fmt.Sprintf("%s %c ", id, heard.Points[i])
		}
		return fmt.Sprint(said, heard.Heard, heard.Silent, heard.Unmeasured)
	}
	presence := func(change func(t *store.Tx) error) {
		t.Helper()
		if err := z.store.Write(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	if got := heard("viewer*"); got != "foreign-lost s bare-point u own-lost s 0 2 1" {
		t.Errorf("of gateways that don't say how often they can be heard: %s", got)
	}
	presence(func(t *store.Tx) error {
		return errors.Join(t.SavePresence("own", telemetry.Presence{Every: 60_000_000}), t.SavePresence("foreign", telemetry.Presence{Every: 60_000_000}))
	})
	if got := heard("viewer*"); got != "foreign-lost h bare-point u own-lost h 2 0 1" {
		t.Errorf("both are heard: %s", got)
	}
	presence(func(t *store.Tx) error { return errors.Join(t.MarkSilent("foreign", 1), t.MarkStopped("own", true)) })
	if got := heard("viewer*"); got != "foreign-lost s bare-point u own-lost s 0 2 1" {
		t.Errorf("one is silent, and one has stopped: %s", got)
	}
	var fleet struct{ Gateways []Gateway }
	z.get(t, "viewer*", "/api/v1/gateways", http.StatusOK, &fleet)
	var states []string
	for _, g := range fleet.Gateways {
		states = append(states, fmt.Sprint(g.ID, " ", g.State, " ", g.Silent != nil && *g.Silent == 1, " ", g.Every))
	}
	if got := strings.Join(states, ", "); got != "foreign silent true 60000000, gw unknown false 0, own stopped false 60000000" {
		t.Errorf("the gateways: %s", got)
	}
	presence(func(t *store.Tx) error { return t.MarkStopped("own", false) })
	if got := heard("viewerown-zone"); got != "bare-point u own-lost h 1 0 1" {
		t.Errorf("of their zone: %s", got)
	}
}
