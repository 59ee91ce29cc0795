package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/outage/reported"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// quarterStart begins the quarter-hour in which everything in zoned has happened.
var quarterStart = telemetry.MicrosOf(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))

var epochs = map[string]record.Epoch{"own": 0x0101, "foreign": 0x0202}

// zoned is a bench with two gateways in two zones. Whatever is the one's is called
// own, and whatever is the other's foreign. People sign in.
type zoned struct {
	*bench
	access *access.Access
	series map[string]telemetry.SignalID // by the gateway
	tokens map[string]string             // by role and zones
	plans  map[string]string             // planned outages, by whose devices they have
}

func newZoned(t *testing.T) *zoned {
	z := &zoned{bench: newBench(t), series: map[string]telemetry.SignalID{}, tokens: map[string]string{}, plans: map[string]string{}}
	z.access = access.New(z.store, false, quiet)
	for _, name := range []string{"own", "foreign"} {
		z.fill(name, epochs[name])
	}
	list, err := z.store.Series(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Name == "DmdWh" {
			z.series[s.Gateway] = s.ID
		}
	}
	z.importNetwork()
	z.addOutages()
	for _, role := range []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin} {
		for _, zones := range []string{"own-zone", "*"} {
			secret := access.TokenPrefix + access.NewSecret()
			name := role.String() + "-" + strings.Trim(strings.ReplaceAll(zones, "*", "all"), "*")
			token := store.APIToken{Name: name, Role: role.String(), Zones: zones, Expires: telemetry.MicrosOf(time.Now().Add(time.Hour))}
			if err := z.store.AddAPIToken(t.Context(), token, secret); err != nil {
				t.Fatal(err)
			}
			z.tokens[role.String()+zones] = secret
		}
	}
	calls := New(Options{Version: "test", Store: z.store, Live: z.live, Access: z.access, Log: quiet})
	server := httptest.NewServer(Guard(access.Gate(calls, Rights, z.access, quiet), nil, false))
	t.Cleanup(server.Close)
	z.server = server
	return z
}

// zonedNetwork has what is own supplied through what is foreign.
const zonedNetwork = `
zones: [{id: own-zone}, {id: own-part, parent: own-zone}, {id: foreign-zone}]
sources: [{id: foreign-source, node: foreign-hv, zone: foreign-zone}]
lines:
  - {id: foreign-line, from: foreign-hv, to: border}
  - {id: own-line, from: border, to: own-end, zone: own-part}
feeders:
  - {id: foreign-feeder, head: foreign-line}
  - {id: own-feeder, head: own-line}
service_points:
  - {id: foreign-point, node: border, position: 1 2, customers: 5, valid_to: "2099-01-01T00:00:00Z"}
  - {id: own-point, node: own-end, position: 4 6, customers: 3}
`

func (z *zoned) importNetwork() {
	z.t.Helper()
	m, findings := gridfile.ReadYAML("own-and-foreign.yaml", []byte(zonedNetwork))
	in := network.Import{Model: m, Read: findings, By: "test", Comment: "own and foreign", Now: time.Now()}
	if _, err := in.Save(z.t.Context(), z.store); err != nil {
		z.t.Fatal(err, in.Model.Check(0))
	}
}

// addOutages adds one of everything that is kept about outages, of each zone.
func (z *zoned) addOutages() {
	z.t.Helper()
	for _, whose := range []string{"own", "foreign"} {
		zone := whose + "-zone"
		if whose == "own" {
			zone = "own-part" // within it
		}
		o := desk.Outage{ID: whose + "-outage", State: lifecycle.Confirmed, Zone: zone, Feeder: whose + "-feeder", Device: whose + "-line", Found: quarterStart, Candidates: []desk.Candidate{}}
		data, err := json.Marshal(o)
		if err != nil {
			z.t.Fatal(err)
		}
		err = z.store.Write(z.t.Context(), func(t *store.Tx) error {
			if _, err := t.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES (?, 'confirmed', ?, ?, ?, '', ?, 0, 1, ?)`,
				o.ID, zone, o.Feeder, o.Device, int64(o.Found), string(data)); err != nil {
				return err
			}
			if _, err := t.Exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES (?, ?, 3, 1, 0)`, o.ID, whose+"-point"); err != nil {
				return err
			}
			if err := evidence.Note(t, evidence.Observation{Evidence: outage.Evidence{Kind: outage.Timeout, Asset: whose + "-point", Gateway: whose, Arrival: 1}}); err != nil {
				return err
			}
			_, err := t.Exec(`INSERT INTO outage_reference (outage, evidence) SELECT ?, MAX(seq) FROM outage_evidence`, o.ID)
			return err
		})
		if err != nil {
			z.t.Fatal(err)
		}
		if _, err := desk.AddCall(z.t.Context(), z.store, desk.Call{At: quarterStart, ServicePoint: whose + "-point", Says: "no-supply", By: "test"}); err != nil {
			z.t.Fatal(err)
		}
		n, err := network.NewHolder(z.store).Current(z.t.Context())
		if err != nil {
			z.t.Fatal(err)
		}
		p, err := desk.Plan(z.t.Context(), z.store, n, desk.Planned{Devices: []string{whose + "-line"}, From: desk.Now() + 3600e6, Until: desk.Now() + 7200e6, Reason: whose + " works", By: "test", At: desk.Now()}, false)
		if err != nil {
			z.t.Fatal(err)
		}
		z.plans[whose] = p.ID
		report := reported.Report{System: whose + "-oms", By: "test", At: desk.Now(), Document: cim.Document{Outages: []cim.Outage{{ID: whose + "-oms-1", Equipment: whose + "-line"}}}}
		if _, err := reported.Take(z.t.Context(), z.store, report); err != nil {
			z.t.Fatal(err)
		}
		tag := "test"
		if _, err := desk.Operate(z.t.Context(), z.store, desk.Operated{Asset: whose + "-line", Tag: &tag, At: 1, By: "test", Comment: "test"}); err != nil {
			z.t.Fatal(err)
		}
	}
}

// fill has a gateway send one of everything.
func (z *zoned) fill(name string, epoch record.Epoch) {
	z.t.Helper()
	identitytest.Enrol(z.t, z.store, name)
	birth := record.Birth{Gateway: name, Site: name + "-site", Zone: name + "-zone", Table: fmt.Sprintf("%016x", 7), Version: 2, Parts: 1,
		Signals: []telemetry.Signal{{ID: 1, Device: name + "-meter", Name: "DmdWh", Unit: "W.h", Asset: name + "-feeder", Kind: telemetry.Counter},
			{ID: 2, Device: name + "-meter", Name: "Hz", Unit: "Hz", Asset: name + "-lost", Kind: telemetry.Gauge}}}
	if name == "foreign" { // it measures something in the other zone as well
		birth.Signals = append(birth.Signals, telemetry.Signal{ID: 3, Device: "foreign-meter", Name: "A", Unit: "A", Asset: "own-line", Kind: telemetry.Gauge})
	}
	payload, err := json.Marshal(birth)
	if err != nil {
		z.t.Fatal(err)
	}
	z.produce(z.topics.Births(), birth.Key(), record.FormatBirth, record.Identity{Gateway: name}, payload)
	var encoder telemetry.Encoder
	block, err := encoder.AppendBlock(nil, telemetry.TableRef{Table: 7, Version: 2}, []telemetry.Sample{{Signal: 1, Time: quarterStart, Value: telemetry.FloatValue(1)}})
	if err != nil {
		z.t.Fatal(err)
	}
	z.produce(z.topics.Telemetry(), name, record.FormatBlock, record.Identity{Gateway: name, Epoch: epoch, Stream: record.Telemetry}, block)
	value := 1.0
	at := quarterStart
	for seq, e := range []telemetry.Event{
		{Kind: telemetry.AlarmCaptured, Capture: &telemetry.Capture{Alarm: name + "-alarm", From: at, To: at + 1, Signals: []telemetry.CapturedSignal{
			{Signal: 1, Name: "DmdWh", Device: name + "-meter", Unit: "W.h", Samples: []telemetry.CapturedSample{{Time: at, Value: &value}}}}}},
		{Kind: telemetry.CounterReset, Counter: &telemetry.CounterChange{Signal: 1, Device: name + "-meter", Name: "DmdWh", Unit: "W.h", Asset: name + "-feeder", Before: 2, BeforeTime: at, After: 1, AfterTime: at + 1}},
		{Kind: telemetry.LinkChanged, Link: &telemetry.Link{Stream: "events", State: "down", Was: "up", Cause: name + "-cause"}},
		{Kind: telemetry.ControlAttempted, Control: &telemetry.Control{ID: name + "-attempt", Action: telemetry.ControlOperate, Device: name + "-meter", Signal: "Pos", Origin: telemetry.ControlLocal, By: name + "-person", Outcome: telemetry.ControlDone}},
		{Kind: telemetry.CommandAnswered, Answer: &telemetry.CommandAnswer{ID: name + "-command", Kind: "ping", By: name + "-person", Result: telemetry.CommandDone}},
		{Kind: telemetry.SamplesCounted, Account: &telemetry.Account{Epoch: epoch.String(), From: at, To: at + telemetry.Quarter,
			Devices: []telemetry.DeviceAccount{{Device: name + "-meter", Scheduled: 1, Read: 1, Delivered: 1}}}},
		{Kind: telemetry.UpdateConfirmed, Update: &telemetry.Update{Version: name + "-2.0", From: "1.0", Epoch: 5}},
		{Kind: telemetry.AlarmRaised, Alarm: &telemetry.AlarmChange{ID: name + "-alarm", Rule: "r", Asset: name + "-feeder", Priority: telemetry.High, Summary: name + " is without voltage"}},
	} {
		e.Time, e.Decided = at, at
		payload, err := json.Marshal(e)
		if err != nil {
			z.t.Fatal(err)
		}
		id := record.Identity{Gateway: name, Epoch: epoch, Stream: record.Events, First: uint64(seq), Last: uint64(seq)}
		z.produce(z.topics.Events(), name, record.FormatEvent, id, payload)
	}
	z.eventually("/api/v1/alarms", func(a map[string]any) bool { return strings.Contains(fmt.Sprint(a), name+"-alarm") })
	z.eventually("/api/v1/series", func(a map[string]any) bool {
		for _, s := range a["series"].([]any) {
			if s := s.(map[string]any); s["gateway"] == name && s["latest"] != nil {
				return true
			}
		}
		return false
	})
}

// questions are how a route is asked about what is whose.
func (z *zoned) questions(route, whose string) (paths []string, body string) {
	span := fmt.Sprintf("?from_us=%d&to_us=%d", quarterStart, quarterStart+telemetry.Quarter)
	series := fmt.Sprint(z.series[whose])
	_, path, _ := strings.Cut(route, " ")
	var queries []string
	switch route {
	case "GET /api/v1/alarms":
		queries = []string{"", "?state=all"}
	case "GET /api/v1/gateways":
		queries = []string{"", "?stored=true"}
	case "GET /api/v1/counter-changes":
		queries = []string{span, span + "&series=" + series}
	case "GET /api/v1/completeness":
		queries = []string{span, span + "&gateway=" + whose, span + "&gateway=" + whose + "&device=" + whose + "-meter"}
	case "GET /api/v1/series":
		queries = []string{"", "?gateway=" + whose, "?device=" + whose + "-meter"}
	case "GET /api/v1/commands", "GET /api/v1/events":
		queries = []string{"", "?gateway=" + whose}
	case "GET /api/v1/controls":
		queries = []string{"", "?gateway=" + whose, "?device=" + whose + "-meter", "?gateway=" + whose + "&device=" + whose + "-meter"}
	case "GET /api/v1/series/{id}/samples", "GET /api/v1/series/{id}/trend", "GET /api/v1/series/{id}/export", "GET /api/v1/gateways/{id}/links":
		queries = []string{span}
	case "POST /api/v1/alarms/{id}/shelve":
		queries, body = []string{""}, `{"reason":"test","seconds":60}`
	case "POST /api/v1/alarms/{id}/unshelve", "POST /api/v1/alarms/{id}/out-of-service", "POST /api/v1/alarms/{id}/in-service":
		queries, body = []string{""}, `{"reason":"test"}`
	case "GET /api/v1/alarm-performance", "GET /api/v1/alarm-performance/table":
		now := time.Now()
		queries = []string{fmt.Sprintf("?from_us=%d&to_us=%d", now.Add(-time.Hour).UnixMicro(), now.Add(time.Hour).UnixMicro())}
		queries = append(queries, queries[0]+"&zone="+whose+"-zone")
	case "GET /api/v1/stream":
		queries = []string{"?after=0"}
	case "GET /api/v1/assets":
		queries = []string{"", "?text=" + strings.ToUpper(whose), "?zone=" + whose + "-zone", "?feeder=" + whose + "-feeder", "?kind=feeder", "?unmeasured=true"}
	case "PUT /api/v1/grid/model":
		queries, body = []string{"", "?dry_run=true"}, zonedNetwork
	case "POST /api/v1/alarms/{id}/acknowledge":
		queries, body = []string{""}, "{}"
	case "GET /api/v1/outages":
		queries = []string{"", "?state=all", "?feeder=" + whose + "-feeder", "?zone=" + whose + "-zone"}
	case "GET /api/v1/reliability":
		queries = []string{"?period=2026&by=area", "?period=2026&by=feeder"}
	case "GET /api/v1/calls":
		queries = []string{"", "?outage=" + whose + "-outage"}
	case "POST /api/v1/outages/{id}/actions":
		queries, body = []string{""}, `{"action":"note","comment":"seen"}`
	case "PUT /api/v1/cim/outages/{system}":
		queries, body = []string{""}, `{"UnplannedOutage":[{"mRID":"`+whose+`-oms-1","Equipments":[{"mRID":"`+whose+`-line"}]}]}`
	case "GET /api/v1/reported-outages":
		queries = []string{"", "?state=all&system=" + whose + "-oms"}
	case "PUT /api/v1/crews/{id}":
		queries, body = []string{""}, `{"name":"`+whose+` crew","state":"available"}`
	case "POST /api/v1/calls":
		queries, body = []string{""}, `{"service_point":"`+whose+`-point","says":"other","text":"hello"}`
	case "PUT /api/v1/switching/{asset}":
		queries, body = []string{""}, `{"tag":"test","comment":"test"}`
	case "GET /api/v1/planned-outages":
		queries = []string{"?state=all", "?state=all&device=" + whose + "-line"} // it may be cancelled by now
	case "POST /api/v1/planned-outages", "PUT /api/v1/planned-outages/{id}":
		queries, body = []string{""}, `{"devices":["`+whose+`-line"],"from_us":1,"until_us":4102444800000000,"reason":"`+whose+` works"}`
	case "POST /api/v1/planned-outages/{id}/cancel":
		queries, body = []string{""}, `{"comment":"test"}`
	case "POST /api/v1/evidence":
		queries, body = []string{""}, `{"asset":"`+whose+`-point","says":"supplied"}`
	default:
		queries = []string{""}
	}
	switch {
	case strings.HasPrefix(path, "/api/v1/alarms/"):
		path = strings.Replace(path, "{id}", whose+"-alarm", 1)
	case strings.HasPrefix(path, "/api/v1/outages/"):
		path = strings.Replace(path, "{id}", whose+"-outage", 1)
	case strings.HasPrefix(path, "/api/v1/planned-outages/"):
		path = strings.Replace(path, "{id}", z.plans[whose], 1)
	case strings.HasPrefix(path, "/api/v1/cim/outages/"):
		path = strings.Replace(path, "{system}", whose+"-oms", 1)
	case strings.HasPrefix(path, "/api/v1/crews/"):
		path = strings.Replace(path, "{id}", whose+"-crew", 1)
	case strings.HasPrefix(path, "/api/v1/switching/"):
		path = strings.Replace(path, "{asset}", whose+"-line", 1)
	case strings.HasPrefix(path, "/api/v1/assets/"):
		path = strings.Replace(path, "{id}", whose+"-feeder", 1)
	case strings.HasPrefix(path, "/api/v1/series/"):
		path = strings.Replace(path, "{id}", series, 1)
	case strings.HasPrefix(path, "/api/v1/gateways/"):
		path = strings.Replace(path, "{id}", whose, 1)
	}
	for _, query := range queries {
		paths = append(paths, path+query)
	}
	return paths, body
}

// ask sends a request with a token, if any, and returns what is answered, of a stream
// what comes until one of its events has told of own, or until it ends.
func (z *zoned) ask(token, method, path, body string) (status int, answer string) {
	z.t.Helper()
	content := ""
	switch body {
	case "":
	case zonedNetwork:
		content = "application/yaml"
	default:
		content = "application/json"
	}
	return z.send(token, method, path, body, content)
}

func (z *zoned) send(token, method, path, body, content string) (status int, answer string) {
	z.t.Helper()
	request, err := http.NewRequestWithContext(z.t.Context(), method, z.server.URL+path, strings.NewReader(body))
	if err != nil {
		z.t.Fatal(err)
	}
	if content != "" {
		request.Header.Set("Content-Type", content)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		z.t.Fatal(err)
	}
	defer response.Body.Close()
	streaming := strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	values := false
	for lines.Scan() {
		line := lines.Text()
		answer += line + "\n"
		if streaming && strings.HasPrefix(line, ": ") {
			// From now on it hears of values.
			z.live.Publish([]telemetry.Sample{{Signal: z.series["own"], Value: telemetry.FloatValue(1)}, {Signal: z.series["foreign"], Value: telemetry.FloatValue(2)}})
		}
		values = values || line == "event: latest"
		if streaming && values && line == "" {
			break
		}
	}
	return response.StatusCode, answer
}

func TestRights(t *testing.T) {
	z := newZoned(t)
	t.Run("a session", func(t *testing.T) { z.aSession(t) })
	t.Run("by a provider", func(t *testing.T) { z.byAProvider(t) })
	t.Run("every operation", func(t *testing.T) { z.everyOperation(t) })
	t.Run("assets", func(t *testing.T) { z.assets(t) })
	t.Run("a stream ends with its token", func(t *testing.T) { z.aStreamEndsWithItsToken(t) })
}

// everyOperation that is described, asked by everybody, about what they may see and what
// they may not.
func (z *zoned) everyOperation(t *testing.T) {
	description := describe(http.NewServeMux(), Options{Version: "test", Log: quiet})
	n := 0
	for path, item := range description.Paths {
		for method, operation := range map[string]bool{"GET": item.Get != nil, "POST": item.Post != nil, "PUT": item.Put != nil, "PATCH": item.Patch != nil, "DELETE": item.Delete != nil} {
			if !operation {
				continue
			}
			n++
			z.walk(method+" "+path, method)
		}
	}
	if n < 17 {
		t.Errorf("%d operations were tried", n)
	}
}

// tellsOfNobody are the operations whose answers are about no gateway.
var tellsOfNobody = map[string]bool{"GET /api/v1/crews": true, "PUT /api/v1/crews/{id}": true, "GET /api/v1/outage-codes": true, "GET /api/v1/estimate-record": true, "GET /api/v1/session": true, "POST /api/v1/session": true, "DELETE /api/v1/session": true, "GET /api/v1/audit": true, "GET /api/v1/grid": true,
	"GET /api/v1/grid/heard":      true, // it has a letter for each of theirs, see TestWhatIsHeardOfTheNetwork
	"GET /api/v1/grid/out":        true, // as that, see TestWhatHasSupply
	"GET /api/v1/alarm-shelves":   true, // there are none, or some, by what was asked before
	"GET /api/v1/session/methods": true, "GET /api/v1/session/oidc": true, "GET /api/v1/session/oidc/callback": true, "POST /api/v1/session/oidc/logout": true}

func (z *zoned) walk(route, method string) {
	right := Rights[route]
	paths, body := z.questions(route, "foreign")
	if strings.Contains(paths[0], "{") {
		z.t.Errorf("%s: this test doesn't know how to ask", route)
		return
	}
	for _, token := range []string{"", "bb_" + access.NewSecret()} {
		if right.Least == access.Anyone {
			break
		}
		if status, answer := z.ask(token, method, paths[0], body); status != 401 || strings.Contains(answer, "foreign") {
			z.t.Errorf("%s by a stranger: %d %s", route, status, answer)
		}
	}
	for _, role := range []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin} {
		for _, zones := range []string{"own-zone", "*"} {
			for _, whose := range []string{"foreign", "own"} {
				if route == "GET /api/v1/stream" && (role != access.Viewer || whose == "own") {
					continue // it takes a second
				}
				paths, body := z.questions(route, whose)
				for _, path := range paths {
					status, answer := z.ask(z.tokens[role.String()+zones], method, path, body)
					who := fmt.Sprintf("%s %s by %s of %s", method, path, role, zones)
					if role < right.Least || zones != "*" && right.Everywhere {
						if status != 403 {
							z.t.Errorf("%s: %d %s", who, status, answer)
						}
						continue
					}
					if strings.HasSuffix(route, "/export") && status == 200 {
						answer += whose // a table says of whom it is by its name only
					}
					if !tellsOfNobody[route] {
						z.judge(who, whose, zones == "*", status, answer)
					}
				}
			}
		}
	}
}

// judge looks at an answer that is about what is whose.
func (z *zoned) judge(who, whose string, all bool, status int, answer string) {
	z.t.Helper()
	tells := func(of string) bool {
		return strings.Contains(answer, of) || strings.Contains(answer, fmt.Sprintf(`"series":%d,`, z.series[of])) ||
			strings.Contains(answer, fmt.Sprintf("%q", epochs[of].String()))
	}
	switch {
	case !all && tells("foreign"):
		z.t.Errorf("%s: it leaks: %s", who, answer)
	case status == 409: // it is acknowledged, so it is seen
		if !all && whose == "foreign" {
			z.t.Errorf("%s: %d %s", who, status, answer)
		}
	case !all && whose == "foreign" && (status == 200 || status == 404):
	case status != 200 || !tells(whose):
		z.t.Errorf("%s: it isn't there: %d %s", who, status, answer)
	}
}

func (z *zoned) aSession(t *testing.T) {
	const password = "correct horse battery"
	const hash = "$argon2id$v=19$m=64,t=1,p=1$7c/FHP+S3lRYCbsBA2Q3eg$xVNrYh+cSMuzGY+/BaL5dRTvbGx2AL7TZR6MSyL7xBk" // of little cost
	if err := z.store.AddUser(t.Context(), store.User{Name: "ana", Password: hash, Role: "operator", Zones: "own-zone"}); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]int{`{"name":"ana","password":"wrong"}`: 401, `{"name":"bob","password":"wrong"}`: 401, `{"name":"ana"}`: 422, `x`: 400} {
		if status, answer := z.ask("", "POST", "/api/v1/session", body); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, answer, want)
		}
	}
	response, err := http.Post(z.server.URL+"/api/v1/session", "application/json", strings.NewReader(`{"name":"ana","password":"`+password+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	cookies := response.Cookies()
	if response.StatusCode != 200 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("%s %v", response.Status, cookies)
	}
	as := func(method, path, body string, header ...string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, z.server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(cookies[0])
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var text strings.Builder
		if _, err := bufio.NewReader(response.Body).WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, text.String()
	}
	if status, answer := as("GET", "/api/v1/session", ""); status != 200 || !strings.Contains(answer, `"sign_in":true,"name":"ana","role":"operator","zones":["own-zone"]`) {
		t.Errorf("%d %s", status, answer)
	}
	const acknowledge = "/api/v1/alarms/own-alarm/acknowledge"
	if status, answer := as("POST", acknowledge, `{}`, "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("from another site: %d %s", status, answer)
	}
	// Who it was is who has signed in.
	if status, answer := as("POST", acknowledge, `{"by":"somebody else","comment":"crew called"}`); status != 200 || !strings.Contains(answer, `"acknowledged_by":"ana"`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := as("DELETE", "/api/v1/session", ""); status != 204 {
		t.Errorf("sign out: %d %s", status, answer)
	}
	if status, answer := as("GET", "/api/v1/session", ""); status != 401 {
		t.Errorf("signed out: %d %s", status, answer)
	}
	rows, err := z.store.AuditRows(t.Context(), store.Page[int64]{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ana session sign-out ana", "ana session acknowledge alarm own-alarm", "ana password sign-in ana"} {
		if got := strings.Join([]string{rows[i].By, rows[i].Via, rows[i].Action, rows[i].Subject}, " "); got != want {
			t.Errorf("the audit has: %s, want: %s", got, want)
		}
	}
	for range 20 {
		if status, _ := z.ask("", "POST", "/api/v1/session", `{"name":"ana","password":"wrong"}`); status == 429 {
			return
		}
	}
	t.Error("nobody who fails has to wait")
}

func (z *zoned) aStreamEndsWithItsToken(t *testing.T) {
	r := httptest.NewRequest("GET", "/api/v1/stream", nil)
	r.Header.Set("Authorization", "Bearer "+z.tokens["viewer*"])
	if _, err := z.access.Again(r); err == nil {
		t.Error("a request that hasn't passed the gate goes on")
	}
	var again func() error
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stream", func(_ http.ResponseWriter, r *http.Request) {
		again = func() error { _, err := z.access.Again(r); return err }
	})
	access.Gate(mux, Rights, z.access, quiet).ServeHTTP(httptest.NewRecorder(), r)
	if err := again(); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	if err := z.store.RemoveAPIToken(t.Context(), "viewer-all", "test", 1); err != nil {
		t.Fatal(err)
	}
	if err := again(); err == nil {
		t.Error("a token that was removed keeps its stream")
	}
}

func TestWhatHasNoRightNobodyMayUse(t *testing.T) {
	inner := http.NewServeMux()
	served := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	inner.HandleFunc("GET /api/v1/alarms", served)
	inner.HandleFunc("GET /api/v1/unheard-of", served)
	mux := http.NewServeMux()
	mux.Handle("/api/", inner)
	mux.HandleFunc("/", served)
	gate := access.Gate(mux, Rights, nil, quiet)
	for request, want := range map[string]int{"GET /": 418, "GET /x": 418, "GET /api/v1/alarms": 418, "HEAD /api/v1/alarms": 418, "POST /api/v1/alarms": 405, "GET /api/v1/unheard-of": 403, "GET /api/v1/nothing": 404} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		gate.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
	}
}
