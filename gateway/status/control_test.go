package status

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Operate says what it was asked.
func (f fixed) Operate(_ context.Context, device, signal, action, token string, r ControlRequest) (ControlAnswer, error) {
	switch {
	case action == "toggle":
		return ControlAnswer{}, ErrNoAction
	case token != "secret":
		return ControlAnswer{}, fmt.Errorf("%w: show it", ErrUnauthorised)
	}
	return ControlAnswer{ID: "1", Outcome: telemetry.ControlDone, Detail: fmt.Sprintf("%s %s %s %+v", action, device, signal, r)}, nil
}

// Nothing is operated for a request that another site's page could have made a browser
// send, or for one without the token.
func TestWhoMayOperate(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	const body = `{"value":"1","by":"Ana","selection":"s"}`
	right := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer secret"}
	with := func(key, value string) map[string]string {
		headers := map[string]string{}
		for k, v := range right {
			headers[k] = v
		}
		headers[key] = value
		return headers
	}
	for _, c := range []struct {
		name, method, action, body string
		headers                    map[string]string
		code                       int
		says                       string
	}{
		{"right", "POST", "operate", body, right, 200, `operate bay-1 Pos.q {Value:1 By:Ana Selection:s}`},
		{"with a charset", "POST", "select", body, with("Content-Type", "application/json; charset=utf-8"), 200, `"outcome":"done"`},
		{"no token", "POST", "operate", body, with("Authorization", ""), 401, "not authorised: show it"},
		{"another token", "POST", "operate", body, with("Authorization", "Bearer x"), 401, "not authorised"},
		{"by GET", "GET", "operate", body, right, 405, ""},
		{"a form's content", "POST", "operate", body, with("Content-Type", "text/plain"), 415, "application/json"},
		{"no content type", "POST", "operate", body, with("Content-Type", ""), 415, "application/json"},
		{"another site", "POST", "operate", body, with("Sec-Fetch-Site", "cross-site"), 403, "cross-origin"},
		{"the same machine's other port", "POST", "operate", body, with("Sec-Fetch-Site", "same-site"), 403, "cross-origin"},
		{"another origin", "POST", "operate", body, with("Origin", "https://evil.example"), 403, "cross-origin"},
		{"a name that was pointed here", "POST", "operate", body, with("Host", "evil.example"), 421, "loopback"},
		{"an unknown action", "POST", "toggle", body, right, 404, "select, operate and cancel"},
		{"an unknown key", "POST", "operate", `{"value":"1","force":true}`, right, 400, "can't be read"},
		{"no JSON", "POST", "operate", `1`, right, 400, "can't be read"},
		{"too much", "POST", "operate", `{"value":"` + strings.Repeat("1", 5000) + `"}`, right, 400, "can't be read"},
	} {
		request, err := http.NewRequest(c.method, server.URL+"/devices/bay-1/signals/Pos.q/"+c.action, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.headers {
			request.Header.Set(k, v)
		}
		request.Host = c.headers["Host"]
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != c.code || !strings.Contains(string(answer), c.says) {
			t.Errorf("%s: %d %s, %v", c.name, response.StatusCode, answer, err)
		}
	}
}

func TestThePageSaysWhatIsSelected(t *testing.T) {
	r := report
	if _, page := get(t, r, "/"); strings.Contains(page, "Control") {
		t.Error("a gateway that operates nothing says so")
	}
	r.Control = Control{
		Enabled: true, Points: 3, Counts: []ControlCount{{"operate", "unknown", 2}},
		Selected: []Selected{{"bay-1", "Pos", "Ana", time.Date(2026, 1, 1, 12, 0, 30, 0, time.UTC)}},
	}
	_, page := get(t, r, "/")
	for _, want := range []string{"3 signals may be operated", "operate unknown: 2", "<td>Pos</td><td>bay-1</td><td>Ana</td><td>12:00:30 UTC</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	_, metrics := get(t, r, "/metrics")
	for _, want := range []string{"busbar_gateway_control_enabled 1", `busbar_gateway_controls_total{action="operate",outcome="unknown"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}
