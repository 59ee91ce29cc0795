package status

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/busbar/busbar/rules"
)

func (f fixed) Explain(_ context.Context, q rules.Question) ([]rules.Explanation, error) {
	return []rules.Explanation{{Rule: q.Rule, Asset: q.Asset, State: rules.Idle, When: &rules.Part{Text: "TotW > 5", Value: "false"}}}, nil
}

func TestRulesAreExplained(t *testing.T) {
	server := httptest.NewServer(handler(fixed(report)))
	defer server.Close()
	for _, c := range []struct {
		question string
		code     int
		body     string
	}{
		{`{"rule":"loaded","asset":"f1"}`, 200, `[{"rule":"loaded","asset":"f1","priority":"","at_us":0,"state":"idle","when":{"text":"TotW \u003e 5","value":"false"},"signals":null}]`},
		{`{"rules":"loaded"}`, 400, "malformed"},
		{``, 400, "malformed"},
		{`{"rule":"` + strings.Repeat("x", 5000) + `"}`, 400, "malformed"},
	} {
		answer, err := http.Post(server.URL+"/rules/explain", "application/json", strings.NewReader(c.question))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != c.code || strings.TrimSpace(string(body)) != c.body {
			t.Errorf("%.60s: %d %s, %v", c.question, answer.StatusCode, body, err)
		}
	}
}
