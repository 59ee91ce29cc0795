package test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// importTables imports customers, tariffs and weather with a bad row each, again, and again as
// they are shown: it stays the same.
func importTables(t *testing.T, dir string, run func(expect int, args ...string) (out, errs string)) {
	t.Helper()
	for _, table := range []struct{ name, text, bad, known string }{
		{"customers", "customer;service_point;name;contact;priority;tariff\nC2;p2;\"Mill; Ltd\";;critical;\nC1;p1;;;life-support;home\nC3;p3;;;urgent;home\nC4;p4;;;life-support;home\nC5;p3;;;;home\n",
			`4:9: priority "urgent", expected normal, important, critical or life-support`,
			"C1,p1,,,life-support,home\nC2,p2,Mill; Ltd,,critical,\nC4,p4,,,life-support,home\nC5,p3,,,normal,home\n"},
		{"tariffs", "tariff,register,begins,price,unit\nhome,1.8.1,2026-07-01T00:00:00+02:00,0.32,EUR/kW.h\nhome,1.8.1,2026-01-01T00:00:00+01:00,0.3,EUR/kW.h\nhome,1.8.2,soon,0.2,EUR/kW.h\n",
			`4:12: "soon" is no time, expected RFC 3339, such as 2026-10-01T06:15:00Z, or 2026-10-01 06:15:00`,
			"home,1.8.1,2025-12-31T23:00:00Z,0.3,EUR/kW.h\nhome,1.8.1,2026-06-30T22:00:00Z,0.32,EUR/kW.h\n"},
		{"weather", "station,quantity,time,value,unit,issued\nairport,wind,2026-10-01T12:00:00Z,13,m/s,2026-10-01T00:00:00Z\nairport,wind,2026-10-01T12:00:00Z,14.5,m/s,\nairport,wind,2026-10-01T13:00:00Z,NaN,m/s,\n",
			`4:35: value "NaN", expected a number such as 0.25`,
			"airport,wind,2026-10-01T12:00:00Z,14.5,m/s,\nairport,wind,2026-10-01T12:00:00Z,13,m/s,2026-10-01T00:00:00Z\n"},
	} {
		file, known := table.name+".csv", ""
		write(t, dir, file, table.text)
		shows := func(after, rows string) {
			t.Helper()
			known, _ = run(0, "import", "show", table.name)
			if _, got, _ := strings.Cut(known, "\n"); got != rows {
				t.Errorf("%s after %s: %s\nexpected %s", table.name, after, got, rows)
			}
		}
		run(1, "import", table.name, "--dry-run", file)
		shows("a dry run", "")
		for range 2 {
			if _, errs := run(1, "import", table.name, file); errs != file+":"+table.bad+"\n" {
				t.Errorf("%s: %s", table.name, errs)
			}
			shows("the import", table.known)
		}
		write(t, dir, "shown.csv", known)
		run(0, "import", table.name, "shown.csv")
		shows("the import of what was shown", table.known)
	}
	write(t, dir, "replaced.csv", "tariff,register,begins,price,unit\nhome,1.8.1,2026-07-01T00:00:00+02:00,0.33,EUR/kW.h\n")
	run(0, "import", "tariffs", "replaced.csv")
	for at, price := range map[string]string{"2025-12-31T22:59:59Z": "", "2025-12-31T23:00:00Z": "0.3", "2026-06-30T21:59:59Z": "0.3", "2026-07-01T00:00:00+02:00": "0.33"} {
		out, _ := run(0, "import", "show", "tariffs", "--at", at)
		if rows := strings.Count(out, "\n") - 1; price == "" && rows != 0 || price != "" && (rows != 1 || !strings.Contains(out, ","+price+",")) {
			t.Errorf("at %s: %s, expected %q", at, out, price)
		}
	}
	run(2, "import", "show", "weather", "--at", "2026-07-01T00:00:00Z")
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

	importTables(t, s.dir, run)

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
	var list struct{ Outages []struct{ ID, Device string } }
	await(t, "an outage", 2*time.Minute, func() bool {
		s.ask(t, "/api/v1/outages?state=all", &list)
		return len(list.Outages) > 0
	})
	if len(list.Outages) != 1 || list.Outages[0].Device != "fuse-1" {
		t.Errorf("%+v", list)
	}
	var outage struct {
		Customers int `json:"customers_out"`
		Needing   struct {
			LifeSupport int `json:"life_support"`
			Critical    int
			Important   int
		}
	}
	s.ask(t, "/api/v1/outages/"+list.Outages[0].ID, &outage)
	if n := outage.Needing; outage.Customers != 3 || n.LifeSupport != 1 || n.Critical != 1 || n.Important != 0 {
		t.Errorf("%+v", outage)
	}
	metrics := get(t, "http://"+s.console+"/metrics")
	for _, expected := range []string{`rows_total\{result="new"\} [1-9]`, `rows_total\{result="aside"\} [1-9]`, `lag_records 0`} {
		if !regexp.MustCompile(`(?m)^busbar_cloud_import_` + expected).MatchString(metrics) {
			t.Errorf("no %s: %s", expected, metrics)
		}
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
