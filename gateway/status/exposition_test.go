package status

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/busbar/busbar/test/peer"
)

// Prometheus's own parser and linter take a scrape, whatever its labels have.
func TestAScrapeIsPrometheus(t *testing.T) {
	odd := "a \"b\" \\ \n {c}=\u00e9"
	r := report
	r.Devices = []Device{{ID: "meter-1", Polls: 9}, {ID: odd, Polls: 5, Failed: 2}}
	_, body := get(t, r, "/metrics")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	polls := families["busbar_gateway_device_polls_total"]
	if polls.GetType().String() != "COUNTER" || polls.GetHelp() != descPolls.help || len(polls.Metric) != 6 {
		t.Errorf("%v", polls)
	}
	if m := polls.Metric[3]; m.Label[0].GetValue() != odd || m.Label[1].GetValue() != "answered" || m.GetCounter().GetValue() != 3 {
		t.Errorf("%v", m)
	}
	for _, name := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds", "go_goroutines"} {
		f := families[name]
		if f == nil {
			t.Errorf("%s is missing", name)
		} else if m := f.Metric[0]; m.Counter == nil && m.GetGauge().GetValue() <= 0 {
			t.Errorf("%v", f)
		}
	}
	cmd := exec.Command(peer.Program(t, "promtool", "prometheus"), "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
