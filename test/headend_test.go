package test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/postgres"
)

// headEndPage is a block of docs/headend.md, as of yesterday.
func headEndPage(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/headend.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "\n```"+language+"\n")
	if !ok {
		t.Fatalf("docs/headend.md has no %s", language)
	}
	text, _, _ = strings.Cut(text, "\n```")
	return strings.ReplaceAll(text, "2026-10-01", time.Now().AddDate(0, 0, -1).Format(time.DateOnly)) + "\n"
}

const threeMeters = `
sources: [{id: source, node: bar}]
switches:
  - {id: breaker, from: bar, to: n0, type: breaker}
  - {id: fuse-1, from: n0, to: n1, type: fuse}
  - {id: fuse-2, from: n0, to: n2, type: fuse}
feeders: [{id: west, head: breaker}]
service_points: [{id: p1, node: n1}, {id: p2, node: n1}, {id: p3, node: n1}, {id: p4, node: n2}]
`

// imported is what the last line of an import says.
func imported(t *testing.T, out string) (fresh, same int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	_, counts, _ := strings.Cut(lines[len(lines)-1], ": import ")
	_, counts, _ = strings.Cut(counts, ": ")
	if _, err := fmt.Sscanf(counts, "%d new, %d known", &fresh, &same); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return fresh, same
}

// The page's example, on a real cluster: a file, a kill, the topic, and an outage by last
// gasps.
func headEnd(t *testing.T, database string) {
	cluster, prefix := kafka.SharedWithoutTopics(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	edge := must(cluster.Gateway(ctx, prefix, "north-gw1"))(t)
	user := must(cluster.Cloud(ctx, prefix))(t)
	s := newSite(t, cluster.Brokers()[0], "")
	s.onKafka(t, edge.MTLS(), user.SCRAM())
	if database != "" {
		s.edit(t, "cloud.yaml", "{path: cloud.db}", database)
	}
	config, err := os.ReadFile(filepath.Join(s.dir, "cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "cloud.yaml", string(config)+headEndPage(t, "yaml"))
	write(t, s.dir, "grid.yaml", threeMeters)
	write(t, s.dir, "meters.csv", "meter,service_point\nM4711,p1\nM4712,p2\nM4713,p3\nM4714,p4\n")
	write(t, s.dir, "reads.csv", headEndPage(t, "csv"))
	run := func(expect int, args ...string) (out, errs string) {
		t.Helper()
		out, errs, code := call(t, s.dir, "busbar-cloud", append(args, "--config", "cloud.yaml")...)
		if code != expect {
			t.Fatalf("%v: exit code %d: %s%s", args, code, out, errs)
		}
		return out, errs
	}
	readings := []string{"import", "readings", "--head-end", "mdm-north"}
	run(0, "grid", "import", "grid.yaml")
	cloud := s.cloud(t)
	await(t, "the head-end is known", time.Minute, func() bool {
		_, _, code := call(t, s.dir, "busbar-cloud", "import", "meters", "--config", "cloud.yaml", "--head-end", "mdm-north", "meters.csv")
		return code == 0
	})
	run(1, append(readings, "--dry-run", "reads.csv")...)
	out, errs := run(1, append(readings, "reads.csv")...)
	if fresh, _ := imported(t, out); fresh != 2 || !strings.HasPrefix(errs, "reads.csv:4:30: \"much\" is no number, expected one such as 0.25\nreads.csv:5:1: no unit, expected one such as kWh\n") {
		t.Errorf("%s%s", out, errs)
	}
	var series struct {
		Series []struct{ Device, Name, Unit, Asset string }
	}
	s.ask(t, "/api/v1/series?gateway=mdm-north", &series)
	if len(series.Series) != 1 || series.Series[0] != (struct{ Device, Name, Unit, Asset string }{"M4711", "DmdWh.interval", "W.h", "p1"}) {
		t.Errorf("%+v", series)
	}

	// The import is killed, then the cloud is as well, until all is there once.
	const rows = 60_000
	var many strings.Builder
	many.WriteString("meter,channel,end,value\n")
	began := time.Now().UTC().AddDate(0, 0, -80).Truncate(24 * time.Hour)
	for n := range rows {
		fmt.Fprintf(&many, "N%d,A+,%s,%d\n", n/6000, began.Add(time.Duration(n%6000+1)*15*time.Minute).Format(time.RFC3339), n)
	}
	write(t, s.dir, "many.csv", many.String())
	in := launch(t, s.dir, "import", exec.Command(filepath.Join(bin, "busbar-cloud"), append(readings, "many.csv", "--config", "cloud.yaml")...))
	await(t, "some of it is taken", time.Minute, func() bool {
		out, _ := run(0, "import", "list")
		return strings.Contains(out, "many.csv")
	})
	in.kill()
	cloud.kill()
	s.cloud(t)
	out, _ = run(0, append(readings, "many.csv")...)
	t.Logf("after the kills:\n%s", out)
	out, _ = run(0, append(readings, "many.csv")...)
	if fresh, same := imported(t, out); fresh != 0 || same != rows {
		t.Errorf("again: %s", out)
	}

	// A program that isn't ours writes last gasps into the topic, and a file has one more.
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	need(t, "confluent-kafka: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python", exec.Command(python, "-c", "import confluent_kafka").Run() == nil)
	write(t, s.dir, "produce.py", strings.ReplaceAll(headEndPage(t, "python"), "busbar.import", prefix+".import"))
	lines := strings.SplitAfter(headEndPage(t, "json"), "\n")
	for i := range lines {
		if _, rest, ok := strings.Cut(lines[i], `"time": "`); ok {
			_, rest, _ = strings.Cut(rest, `"`)
			before, _, _ := strings.Cut(lines[i], `"time": "`)
			lines[i] = before + `"time": "` + time.Now().UTC().Format(time.RFC3339) + `"` + rest
		}
	}
	write(t, s.dir, "last.json", lines[2])
	produce := exec.CommandContext(ctx, python, filepath.Join(s.dir, "produce.py"), cluster.Brokers()[0])
	produce.Stdin = strings.NewReader(lines[0] + "nonsense\n" + lines[1])
	if out, err := produce.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run(0, append(readings, "last.json")...)
	var list struct {
		Outages []struct {
			Device    string
			Customers int
		}
	}
	await(t, "an outage", 2*time.Minute, func() bool {
		s.ask(t, "/api/v1/outages?state=all", &list)
		return len(list.Outages) > 0
	})
	if len(list.Outages) != 1 || list.Outages[0].Device != "fuse-1" {
		t.Errorf("%+v", list)
	}
	if out, _ := run(0, "import", "aside"); !strings.Contains(out, prefix+".import/0@") || !strings.Contains(out, "no column is the meter") {
		t.Errorf("set aside: %s", out)
	}
}

func TestAHeadEndsReadsAndEvents(t *testing.T) {
	t.Parallel()
	headEnd(t, "")
}

func TestAHeadEndsReadsAndEventsInPostgreSQL(t *testing.T) {
	t.Parallel()
	headEnd(t, fmt.Sprintf("{postgres: {url: %q}}", postgres.Database(t, func(string) error { return nil })))
}
