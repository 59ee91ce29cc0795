package test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/busbar/busbar/test/peer"
)

const monitoring = "../deploy/prometheus"

// The configuration and the rules are what Prometheus takes, and each alert has a test.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"check config prometheus.yaml", "test rules busbar.rules.test.yaml"} {
		cmd := exec.Command(peer.Program(t, "promtool", "prometheus"), strings.Fields(args)...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
	tests := readFile(t, monitoring, "busbar.rules.test.yaml")
	for _, r := range alertRules(t) {
		if r.Alert != "" && !strings.Contains(tests, r.Alert+",") && !strings.Contains(tests, r.Alert+"\n") {
			t.Errorf("no test has the alert %s", r.Alert)
		}
	}
}

type alertRule struct{ Record, Alert, Expr string }

func alertRules(t *testing.T) (list []alertRule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alertRule }
	}
	if err := yaml.Unmarshal([]byte(readFile(t, monitoring, "busbar.rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

func readFile(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Of what runs, Prometheus gets all that the rules and the dashboard ask for: each panel
// shows something.
func TestDashboard(t *testing.T) {
	t.Parallel()
	server, dir := peer.Program(t, "prometheus", "prometheus"), t.TempDir()
	console := freeAddress(t)
	start(t, dir, "busbar", "demo", "--headless", "--for", "1h", "--dir", "demo", "--console", console)
	status := regexp.MustCompile(`status: \{listen: "(.*)"\}`)
	var gateway string
	await(t, "the demo's configuration", time.Minute, func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "demo", "gateway.yaml"))
		if found := status.FindSubmatch(text); found != nil {
			gateway = string(found[1])
		}
		return gateway != ""
	})
	config := strings.NewReplacer("15s", "1s", "127.0.0.1:9464", gateway, "127.0.0.1:8080", console)
	write(t, dir, "prometheus.yaml", config.Replace(readFile(t, monitoring, "prometheus.yaml")))
	write(t, dir, "busbar.rules.yaml", readFile(t, monitoring, "busbar.rules.yaml"))
	address := freeAddress(t)
	launch(t, dir, "prometheus", exec.Command(server, "--config.file=prometheus.yaml", "--storage.tsdb.path=prometheus",
		"--web.listen-address="+address, "--log.level=warn"))
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			await(t, "panel "+p.Title+" shows "+target.Expr, 2*time.Minute, func() bool { return len(query(t, address, target.Expr)) > 0 })
		}
	}
	for _, r := range alertRules(t) {
		for _, name := range regexp.MustCompile(`busbar_\w+`).FindAllString(r.Expr, -1) {
			// The demo's cloud writes neither for others.
			if !strings.HasPrefix(name, "busbar_cloud_measurements_") && !strings.HasPrefix(name, "busbar_cloud_evidence_") && len(query(t, address, name)) == 0 {
				t.Errorf("%s%s asks for %s, which nothing has", r.Record, r.Alert, name)
			}
		}
	}
}

type panel struct {
	Title   string
	Targets []struct{ Expr string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal([]byte(readFile(t, "../deploy/grafana/busbar.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	return dashboard.Panels
}

// query asks Prometheus, as Grafana does with its variables filled in.
func query(t *testing.T, address, expr string) (result []any) {
	t.Helper()
	expr = strings.NewReplacer("$instance", ".*", "$__rate_interval", "15s").Replace(expr)
	response, err := http.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		return nil // it starts
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.Unmarshal(body, &answer); err == nil && answer.Status == "error" {
		t.Fatalf("%s: %s", expr, answer.Error)
	}
	return answer.Data.Result
}
