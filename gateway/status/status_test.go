package status

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/telemetry"
)

type fixed Report

func (f fixed) Report() Report { return Report(f) }

func (f fixed) Capture(_ context.Context, device string, w io.Writer) error {
	if device != "m1" {
		return ErrNoDevice
	}
	_, err := io.WriteString(w, "octets")
	return err
}

func (f fixed) Read(_ context.Context, device string) ([]Reading, error) {
	switch device {
	case "meter-1":
		return []Reading{{Signal: "PhV", Value: "230.1", Unit: "V", Quality: "good", Good: true}}, nil
	case "silent":
		return nil, errors.New("no answer within 1s")
	}
	return nil, ErrNoDevice
}

func (f fixed) Scan(_ context.Context, r discovery.Request, show func(discovery.Progress)) error {
	switch r.Endpoint {
	case "tcp://10.0.0.1":
		show(discovery.Progress{Asked: 1, Of: 3, Unit: 1, Found: &discovery.Unit{Unit: 1}})
		return nil
	case "tcp://10.0.0.2":
		show(discovery.Progress{Asked: 1, Of: 3, Unit: 1})
		return errors.New("it has gone")
	case "tcp://10.0.0.3":
		return errors.New("it isn't there")
	}
	return ErrNoEndpoint
}

func TestADeviceIsReadOnDemand(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	for _, c := range []struct {
		method, device, site string
		code                 int
		body                 string
	}{
		{"POST", "meter-1", "", 200, `[{"signal":"PhV","value":"230.1","unit":"V","quality":"good","good":true}]`},
		{"POST", "silent", "", 502, "no answer within 1s"},
		{"POST", "other", "", 404, "the gateway has no such device"},
		{"GET", "meter-1", "", 405, "Method Not Allowed"},
		{"POST", "meter-1", "cross-site", 403, "cross-origin"},
	} {
		request, err := http.NewRequest(c.method, server.URL+"/devices/"+c.device+"/read", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if c.site != "" {
			request.Header.Set("Sec-Fetch-Site", c.site)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.code || !strings.Contains(string(body), c.body) {
			t.Errorf("%+v: %d %s, %v", c, response.StatusCode, body, err)
		}
		if named := response.Header.Get(GatewayHeader) == report.Gateway; named != (c.code == 200 || c.code == 502 || c.code == 404) {
			t.Errorf("%+v: the gateway is named: %v", c, named)
		}
	}
}

func get(t *testing.T, r Report, path string) (int, string) {
	t.Helper()
	server := httptest.NewServer(handler(fixed(r)))
	defer server.Close()
	response, err := http.Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

var report = Report{
	Gateway: "north-gw1", Site: "north", Version: "v1", Started: time.Now(), Good: 10, Bad: 2, AlarmsRaised: 3, AlarmsEnd: 1,
	Clock:   Clock{State: telemetry.ClockUnset, Now: time.UnixMicro(1_790_000_000_000_000), Steps: 3, MaxError: 250 * time.Millisecond, Holding: true},
	Alarms:  []Alarm{{ID: "a1", Rule: "overload", Asset: "feeder-1", Priority: "high", AcknowledgedBy: "Ana <b>"}, {ID: "a2", Rule: "hot", Asset: "T1", Device: "monitor"}},
	Streams: []Stream{{Name: "telemetry", Waiting: 7, Bytes: 4096, Committed: 12}, {Name: "events"}},
	Lanes: []Lane{{Name: "backfill", Sent: 4, SentBytes: 99, State: "down", Since: time.Now(), Cause: "no broker", Changes: 3,
		Spent: map[string]time.Duration{"up": time.Minute, "down": 1500 * time.Millisecond, "throttled": 0}}},
	Buffer:  Buffer{Limit: 1 << 30, Reserve: 64 << 20, Telemetry: 4096, Events: 100, SetAside: 7, Left: 90 * time.Minute, Generations: []int{5, 1, 0, 0}, Dropped: 2, LastCommit: 250 * time.Millisecond},
	Devices: []Device{{ID: "meter-1", Polls: 9, Failed: 2, Missed: 1, Timeouts: 2, Late: 3, LastAnswer: time.UnixMilli(1500)}, {ID: "<script>"}},
	Buses:   []Bus{{Endpoint: "/dev/ttyUSB0", Busy: 90 * time.Second, Used: 0.597, Waiting: 4, Reconnects: 5}},
}

func TestHealthNamesTheProblems(t *testing.T) {
	if code, body := get(t, report, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	sick := report
	sick.Problems = []string{"the disk is full"}
	if code, body := get(t, sick, "/healthz"); code != 503 || body != "the disk is full\n" {
		t.Errorf("%d %q", code, body)
	}
	if _, page := get(t, sick, "/"); !strings.Contains(page, "the disk is full") {
		t.Error("the page doesn't show the problem")
	}
}

func TestMetricsOfOneMoment(t *testing.T) {
	_, body := get(t, report, "/metrics")
	for _, line := range []string{
		`busbar_gateway_samples_total{validity="good"} 10`,
		`busbar_gateway_samples_total{validity="bad"} 2`,
		`busbar_gateway_alarms_total{change="raised"} 3`,
		`busbar_gateway_buffer_waiting_records{stream="telemetry"} 7`,
		`busbar_gateway_buffer_bytes{stream="telemetry"} 4096`,
		`busbar_gateway_clock_state{state="unset"} 1`,
		`busbar_gateway_clock_state{state="synchronised"} 0`,
		`busbar_gateway_clock_steps_total 3`,
		`busbar_gateway_clock_max_error_seconds 0.25`,
		`busbar_gateway_clock_holding 1`,
		`busbar_gateway_sent_records_total{lane="backfill"} 4`,
		`busbar_gateway_sent_bytes_total{lane="backfill"} 99`,
		`busbar_gateway_link_state{lane="backfill",state="down"} 1`,
		`busbar_gateway_link_state{lane="backfill",state="up"} 0`,
		`busbar_gateway_link_seconds_total{lane="backfill",state="down"} 1.5`,
		`busbar_gateway_link_changes_total{lane="backfill"} 3`,
		`busbar_gateway_buffer_limit_bytes 1.073741824e+09`,
		`busbar_gateway_buffer_used_bytes{what="set_aside"} 7`,
		`busbar_gateway_buffer_left_seconds 5400`,
		`busbar_gateway_buffer_segments{generation="1"} 1`,
		`busbar_gateway_buffer_dropped_segments_total 2`,
		`busbar_gateway_buffer_commit_seconds{which="last"} 0.25`,
		`busbar_gateway_buffer_failing_seconds 0`,
		`busbar_gateway_device_polls_total{device="meter-1",result="answered"} 7`,
		`busbar_gateway_device_polls_total{device="meter-1",result="failed"} 2`,
		`busbar_gateway_device_timeouts_total{device="meter-1"} 2`,
		`busbar_gateway_device_late_polls_total{device="meter-1"} 3`,
		`busbar_gateway_bus_busy_seconds_total{endpoint="/dev/ttyUSB0"} 90`,
		`busbar_gateway_bus_waiting{endpoint="/dev/ttyUSB0"} 4`,
		`busbar_gateway_bus_reconnects_total{endpoint="/dev/ttyUSB0"} 5`,
		`busbar_gateway_device_last_answer_timestamp_seconds{device="meter-1"} 1.5`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if strings.Contains(body, `last_answer_timestamp_seconds{device="<script>"}`) {
		t.Error("a device that never answered has a time of its last answer")
	}
}

func TestPageSaysHowLongTheBufferLasts(t *testing.T) {
	for left, want := range map[time.Duration]string{-1: "not known yet", 90 * time.Minute: "1.5 hours", 72 * time.Hour: "3 days", 9000 * time.Hour: "more than a year"} {
		r := report
		r.Buffer.Left = left
		if _, page := get(t, r, "/"); !strings.Contains(page, "Lasts without the log: "+want) {
			t.Errorf("%v isn't shown as %s", left, want)
		}
	}
}

func TestPageEscapesNames(t *testing.T) {
	_, page := get(t, report, "/")
	if strings.Contains(page, "<script>") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("a device's name is put into the page as it is")
	}
}

func TestThePageSaysHowFarAnEndpointIsUsed(t *testing.T) {
	if _, page := get(t, report, "/"); !strings.Contains(page, "<td>/dev/ttyUSB0</td><td>60 %</td><td>4</td><td>5</td>") {
		t.Error(page)
	}
}

func TestThePageSaysHowFarTheTimeIsKnown(t *testing.T) {
	if _, page := get(t, report, "/"); !strings.Contains(page, "Clock unset · 2026-09-21 14:13:20 UTC · within 250ms · samples wait for the time") {
		t.Error(page)
	}
}

func TestThePageSaysWhoHasAcknowledgedAnAlarm(t *testing.T) {
	_, page := get(t, report, "/")
	for _, want := range []string{"<td>overload</td><td>feeder-1</td>", "<td>Ana &lt;b&gt;</td>", "<td>T1 (monitor)</td>", "<td>nobody</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page doesn't have %s", want)
		}
	}
	quiet := report
	quiet.Alarms = nil
	if _, page := get(t, quiet, "/"); strings.Contains(page, "Active alarm") {
		t.Error("without alarms there is a list of them")
	}
}

func TestAScanIsShownLineByLine(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	for _, c := range []struct {
		endpoint string
		code     int
		body     string
	}{
		{"tcp://10.0.0.1", 200, "{\"progress\":{\"asked\":1,\"of\":3,\"unit\":1,\"found\":{\"unit\":1,\"answer\":\"\"}}}\n{}\n"},
		{"tcp://10.0.0.2", 200, "{\"progress\":{\"asked\":1,\"of\":3,\"unit\":1}}\n{\"error\":\"it has gone\"}\n"},
		{"tcp://10.0.0.3", 502, "it isn't there\n"},
		{"tcp://10.0.0.4", 404, "the gateway doesn't read from this endpoint\n"},
		{"udp://10.0.0.4", 400, "\"udp://10.0.0.4\", expected"},
	} {
		response, err := http.Post(server.URL+"/scan", "application/json", strings.NewReader(`{"endpoint":"`+c.endpoint+`","timeout":"1s","pause":"0s"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.code || !strings.HasPrefix(string(body), c.body) || response.Header.Get(GatewayHeader) != report.Gateway {
			t.Errorf("%s: %d %s, %v", c.endpoint, response.StatusCode, body, err)
		}
	}
	response, err := http.Post(server.URL+"/scan", "application/json", strings.NewReader(strings.Repeat(" ", 2*maxScanRequest)))
	if err != nil || response.StatusCode != 400 {
		t.Errorf("%+v, %v", response, err)
	}
}

// What the gateway says is for this machine alone, too.
func TestWhoMayLook(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	for _, path := range []string{"/", "/healthz", "/metrics"} {
		for host, code := range map[string]int{"evil.example:9464": 421, "localhost:9464": 200, "[::1]:9464": 200, "127.0.0.1": 200} {
			request, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != code {
				t.Errorf("%s of %s: %d, expected %d", path, host, response.StatusCode, code)
			}
		}
	}
}

func TestAnOldHealthCheckNamesNoHost(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), " 200 OK") {
		t.Errorf("%s, %v", answer, err)
	}
}

// Whatever the gateway is asked to do, one rule says for whom.
func TestWhoMayAskForSomething(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	for _, path := range []string{"/devices/meter-1/read", "/devices/meter-1/capture", "/scan", "/configuration/try", "/configuration/keep", "/devices/bay-1/signals/Pos/operate"} {
		for what, c := range map[string]struct {
			change func(*http.Request)
			code   int
		}{
			"a name that was pointed here": {func(r *http.Request) { r.Host = "evil.example:9464" }, 421},
			"an address of another":        {func(r *http.Request) { r.Host = "10.0.0.1" }, 421},
			"a form":                       {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
			"no content type":              {func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
			"another site's page":          {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
			"one of an old browser":        {func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
			"one without an origin":        {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
			"by GET":                       {func(r *http.Request) { r.Method = http.MethodGet }, 405},
		} {
			request, err := http.NewRequest(http.MethodPost, server.URL+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			c.change(request)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if name := response.Header.Get(GatewayHeader); response.StatusCode != c.code || name != "" {
				t.Errorf("%s, %s: %d, expected %d; named %q", path, what, response.StatusCode, c.code, name)
			}
		}
	}
}
