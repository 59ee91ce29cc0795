package test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
)

// serveNumbered serves a numbered meter until the test ends.
func serveNumbered(t *testing.T) (m *numberedMeter, address string) {
	t.Helper()
	m = &numberedMeter{noise: rand.New(rand.NewPCG(1, 1))}
	s, err := devices.Listen("127.0.0.1:0", map[byte]devices.Unit{1: m}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.Serve(ctx)
		close(ended)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return m, s.Addr().String()
}

// reloadSite is a site with meters whose configuration changes.
type reloadSite struct {
	site
	meters  []*numberedMeter
	devices []string // in YAML
}

func newReloadSite(t *testing.T) reloadSite {
	t.Helper()
	r := reloadSite{site: newSite(t, "", "")}
	for i := range 3 {
		m, address := serveNumbered(t)
		r.meters = append(r.meters, m)
		r.devices = append(r.devices, fmt.Sprintf(`  - id: meter-%d
    modbus: {endpoint: "tcp://%s"}
    signals: [{name: Answers, input: 0, type: uint32, unit: "1", kind: counter}, {name: V, input: 2, type: uint16, scale: 0.1, unit: V}]
`, i, address))
	}
	write(t, r.dir, "gateway.yaml", r.config(r.devices[:2]))
	return r
}

// config is a configuration with these devices. A commit every 200 ms.
func (r reloadSite) config(devices []string) string {
	head, _, _ := strings.Cut(fmt.Sprintf(gatewayYAML, r.broker, r.status, "", ""), "devices:\n")
	return head + "devices:\n" + strings.Join(devices, "") + "rules:\n  - use: supervision\n"
}

func (r reloadSite) run(t *testing.T, wait string) *program {
	t.Helper()
	g := start(t, r.dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--reload-wait", wait)
	r.awaitAnswers(t, 0, 5)
	return g
}

// awaitAnswers waits until a meter was asked so many times more.
func (r reloadSite) awaitAnswers(t *testing.T, meter int, more uint32) {
	t.Helper()
	from := r.meters[meter].answers.Load()
	await(t, fmt.Sprintf("meter-%d is read", meter), time.Minute, func() bool { return r.meters[meter].answers.Load() >= from+more })
}

func (r reloadSite) apply(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	return call(t, r.dir, "busbar", append([]string{"config", "apply", "--to", "gateway.yaml", "--yes", "--by", "Ana"}, args...)...)
}

func (r reloadSite) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// health is what /healthz says.
func (r reloadSite) health(t *testing.T) string { return get(t, "http://"+r.status+"/healthz") }

// elsewhere is a device where nobody answers.
func elsewhere(t *testing.T, device string) string {
	t.Helper()
	from := strings.Index(device, "tcp://")
	return device[:from] + "tcp://" + freeAddress(t) + device[from+strings.Index(device[from:], "\""):]
}

// A meter is changed and another comes, and the first one's answers are all in the
// store, one after the other. What stops a meter's data is taken back.
func TestApplyingAConfiguration(t *testing.T) {
	t.Parallel()
	r := newReloadSite(t)
	cloud := r.cloud(t)
	gateway := r.run(t, "1m")
	before := r.file(t, "gateway.yaml")
	changed := strings.Replace(r.devices[1], "scale: 0.1", "scale: 0.2", 1)

	write(t, r.dir, "broken.yaml", r.config([]string{r.devices[0], strings.Replace(changed, "uint16", "uint17", 1)}))
	if _, errs, code := r.apply(t, "broken.yaml"); code != 2 || !strings.Contains(errs, `broken.yaml:13:108:`) || !strings.Contains(errs, `devices[1].signals[1].type: "uint17"`) {
		t.Errorf("a broken one: exit code %d, %s", code, errs)
	}
	write(t, r.dir, "restart.yaml", strings.Replace(before, "max_size: 64MiB", "max_size: 65MiB", 1))
	if out, errs, code := r.apply(t, "restart.yaml"); code != 1 || !strings.Contains(errs, "buffer.max_size, buffer.reserve_for_events can't change while the gateway runs") || !strings.Contains(out, "max_size 64MiB becomes 65MiB") {
		t.Errorf("one that takes a restart: exit code %d\n%s%s", code, out, errs)
	}
	if _, errs, code := r.apply(t, "gateway.yaml"); code != 2 || !strings.Contains(errs, "is the gateway's own file") {
		t.Errorf("its own file: exit code %d, %s", code, errs)
	}

	write(t, r.dir, "gateway.yaml.new", before)
	if _, errs, code := r.apply(t, "gateway.yaml.new"); code != 2 || !strings.Contains(errs, "expected another name") || r.file(t, "gateway.yaml.new") != before {
		t.Errorf("the name that it takes itself: exit code %d, %s", code, errs)
	}
	os.Remove(filepath.Join(r.dir, "gateway.yaml.new"))

	next := r.config([]string{r.devices[0], changed, r.devices[2]})
	write(t, r.dir, "new.yaml", next)
	if out, errs, code := call(t, r.dir, "busbar", "config", "apply", "--to", "gateway.yaml", "new.yaml"); code != 2 || !strings.Contains(errs, "expected --yes") {
		t.Errorf("without a terminal: exit code %d\n%s%s", code, out, errs)
	}
	out, errs, code := r.apply(t, "new.yaml", "--wait", "1m")
	if code != 0 || !strings.Contains(out, "signals V scale 0.1 becomes 0.2") || !strings.Contains(out, "device meter-2  added") || !strings.Contains(out, "is kept") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	if r.file(t, "gateway.yaml") != next || r.file(t, "gateway.yaml.previous") != before {
		t.Error("the files aren't those that run, and ran before")
	}
	r.awaitAnswers(t, 2, 5)
	r.awaitAnswers(t, 0, 5)

	write(t, r.dir, "wrong.yaml", r.config([]string{r.devices[0], elsewhere(t, changed), r.devices[2]}))
	out, errs, code = r.apply(t, "wrong.yaml", "--wait", "2s")
	if code != 1 || !strings.Contains(errs, "rolled back, and ") || !strings.Contains(errs, "device meter-1 doesn't answer") {
		t.Errorf("a wrong address: exit code %d\n%s%s", code, out, errs)
	}
	if r.file(t, "gateway.yaml") != next || r.file(t, "gateway.yaml.previous") != before {
		t.Error("the files have changed")
	}
	if left, err := filepath.Glob(filepath.Join(r.dir, "*gateway.yaml.*")); err != nil || len(left) != 1 {
		t.Errorf("%q are left, %v", left, err)
	}
	r.awaitAnswers(t, 1, 5)
	await(t, "the cloud's alarm", time.Minute, func() bool {
		return slices.ContainsFunc(r.alarms(t), func(a alarmState) bool { return a.Rule == "configuration-rolled-back" })
	})
	r.awaitAnswers(t, 0, 5)
	gateway.stop()
	r.awaitComplete(t)
	cloud.stop()
	r.compare(t)
}

// compare holds what is in the store against the numbers that the meters gave.
func (r reloadSite) compare(t *testing.T) {
	t.Helper()
	s := r.history(t)
	series, err := s.Series(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string][]uint64{}
	scales := map[bool]bool{}
	for _, one := range series {
		_, samples, err := s.Samples(t.Context(), one.ID, 0, telemetry.MicrosOf(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range samples {
			switch v, ok := sample.Value.Float(); {
			case ok && one.Name == "Answers":
				stored[one.Device] = append(stored[one.Device], uint64(v))
			case ok && one.Name == "V" && one.Device == "meter-1":
				scales[v > 300] = true
			}
		}
	}
	// Every answer of a meter that stayed is there, but for the one that the stop
	// interrupted.
	numbers := stored["meter-0"]
	for i, n := range numbers {
		if n != uint64(i+1) {
			t.Fatalf("answer %d of meter-0 is number %d", i+1, n)
		}
	}
	if given := int(r.meters[0].answers.Load()); len(numbers) < given-1 {
		t.Errorf("%d answers of meter-0 are stored, it gave %d", len(numbers), given)
	}
	for _, device := range []string{"meter-1", "meter-2"} {
		if n := stored[device]; !slices.IsSorted(n) || len(slices.Compact(slices.Clone(n))) != len(n) || len(n) < 5 {
			t.Errorf("%s: %v", device, n)
		}
	}
	if len(scales) != 2 {
		t.Errorf("meter-1 wasn't read with both scales: %v", scales)
	}
}

// A gateway tries its file when it is told to, and what runs is what has held,
// whatever kills it.
func TestReloading(t *testing.T) {
	t.Parallel()
	r := newReloadSite(t)
	gateway := r.run(t, "10s")
	reload := func() { gateway.cmd.Process.Signal(syscall.SIGHUP) }

	write(t, r.dir, "gateway.yaml", r.config(r.devices))
	reload()
	gateway.awaitLog("the configuration has held and is kept")
	r.awaitAnswers(t, 2, 5)
	if h := r.health(t); strings.Contains(h, "gateway.yaml") {
		t.Error(h)
	}

	write(t, r.dir, "gateway.yaml", "gateway: {id: north-gw1, sight: north}\n"+strings.SplitN(r.config(r.devices), "\n", 2)[1])
	reload()
	gateway.awaitLog(`gateway.yaml:1:26: gateway.sight: unknown key`)

	bad := r.config([]string{r.devices[0], elsewhere(t, r.devices[1])})
	write(t, r.dir, "gateway.yaml", bad)
	reload()
	gateway.awaitLog("another configuration is tried")
	gateway.awaitLog("rolled back: device meter-1 doesn't answer")
	for meter := range 3 {
		r.awaitAnswers(t, meter, 5)
	}
	if h := r.health(t); !strings.Contains(h, "gateway.yaml isn't what runs") || !strings.Contains(h, "device meter-1 doesn't answer") {
		t.Error(h)
	}
	gateway.kill()
	gateway = r.run(t, "1m")
	gateway.awaitLog("the configuration was refused; the one before it runs")
	for meter := range 3 {
		r.awaitAnswers(t, meter, 5)
	}

	// Killed while it is tried.
	worse := r.config([]string{elsewhere(t, r.devices[0]), r.devices[1]})
	write(t, r.dir, "gateway.yaml", worse)
	reload()
	gateway.awaitLog("another configuration is tried")
	gateway.kill()
	gateway = r.run(t, "1m")
	gateway.awaitLog("the gateway ended while it was tried")
	r.awaitAnswers(t, 2, 5)

	// So it is if it is stopped meanwhile.
	reload()
	gateway.awaitLog("another configuration is tried")
	gateway.stop()
	gateway = r.run(t, "1m")
	gateway.awaitLog("the gateway ended while it was tried")

	// Another file is taken, and one that says how it was refused isn't told of again.
	write(t, r.dir, "gateway.yaml", r.config(r.devices[:2]))
	reload()
	gateway.awaitLog("the configuration has held and is kept")
	if h := r.health(t); strings.Contains(h, "gateway.yaml") {
		t.Error(h)
	}
	asked := r.meters[2].answers.Load()
	gateway.stop()
	gateway = r.run(t, "1m")
	if now := r.meters[2].answers.Load(); now != asked {
		t.Errorf("meter-2 is read, which was taken out: %d answers more", now-asked)
	}
}

// A profile of one's own is a part of the configuration, and of the one before.
func TestAProfileIsReloaded(t *testing.T) {
	t.Parallel()
	r := newReloadSite(t)
	const profile = "product: Test\nsource: a test\nsignals: [{name: Answers, input: 0, type: uint32, unit: \"1\", kind: counter}, {name: V, input: 2, type: uint16, unit: V}]\nexamples: []\n"
	from, _, _ := strings.Cut(r.devices[0], "    signals")
	write(t, r.dir, "own.yaml", profile)
	write(t, r.dir, "gateway.yaml", r.config([]string{from + "    profile: own.yaml\n"}))
	gateway := r.run(t, "10s")
	reload := func(profile string) {
		write(t, r.dir, "own.yaml", profile)
		gateway.cmd.Process.Signal(syscall.SIGHUP)
	}
	reload(strings.Replace(profile, "type: uint16", "type: int16", 1))
	gateway.awaitLog("the configuration has held and is kept")
	reload(strings.Replace(profile, "name: V, input: 2, type: uint16", "name: V, input: 2, type: uint16, absent: [2300, 2301, 2302, 2303, 2304, 2305, 2306, 2307, 2308, 2309, 2310, 2311, 2312, 2313, 2314, 2315, 2316, 2317, 2318, 2319]", 1))
	gateway.awaitLog("rolled back: device meter-0: V was good and is bad (not implemented)")
	gateway.kill()
	gateway = r.run(t, "10s")
	gateway.awaitLog("the configuration was refused; the one before it runs")
	if out, errs, code := call(t, r.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "meter-0"); code != 0 || strings.Contains(out, "not implemented") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// What is applied and killed meanwhile starts with the file that there was.
func TestAKillWhileAConfigurationIsApplied(t *testing.T) {
	t.Parallel()
	r := newReloadSite(t)
	gateway := r.run(t, "1m")
	before := r.file(t, "gateway.yaml")
	write(t, r.dir, "new.yaml", r.config([]string{elsewhere(t, r.devices[0]), r.devices[1]}))
	applying := exec.Command(filepath.Join(bin, "busbar"), "config", "apply", "--to", "gateway.yaml", "--yes", "new.yaml")
	applying.Dir = r.dir
	if err := applying.Start(); err != nil {
		t.Fatal(err)
	}
	gateway.awaitLog("another configuration is tried")
	gateway.kill()
	if err := applying.Wait(); err == nil {
		t.Error("the tool says that it was applied")
	}
	if r.file(t, "gateway.yaml") != before {
		t.Error("the file has changed")
	}
	gateway = r.run(t, "1m")
	for meter := range 2 {
		r.awaitAnswers(t, meter, 5)
	}

	// The tool is killed instead: nobody keeps what has held.
	write(t, r.dir, "new.yaml", r.config(r.devices))
	applying = exec.Command(filepath.Join(bin, "busbar"), "config", "apply", "--to", "gateway.yaml", "--yes", "new.yaml")
	applying.Dir = r.dir
	if err := applying.Start(); err != nil {
		t.Fatal(err)
	}
	gateway.awaitLog("another configuration is tried")
	applying.Process.Kill()
	applying.Wait()
	gateway.awaitLog("nobody has kept it within 30s")
	asked := r.meters[2].answers.Load()
	r.awaitAnswers(t, 0, 5)
	if now := r.meters[2].answers.Load(); now > asked+1 {
		t.Errorf("meter-2 is read all the same: %d answers more", now-asked)
	}
}

// Other people's pages and addresses are no way to have a gateway do something.
func TestWhoMayAskForAConfiguration(t *testing.T) {
	t.Parallel()
	r := newReloadSite(t)
	r.run(t, "1m")
	ask := func(change func(*http.Request)) int {
		request, err := http.NewRequest(http.MethodPost, "http://"+r.status+"/configuration/try", strings.NewReader(`{"sha256": "x", "wait_ns": 1000000000, "by": "x"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		change(request)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for what, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"nothing beside the file":       {func(*http.Request) {}, http.StatusConflict},
		"another site's page":           {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"one of an old browser":         {func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, http.StatusForbidden},
		"a form":                        {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, http.StatusUnsupportedMediaType},
		"a name that was pointed here":  {func(r *http.Request) { r.Host = "evil.example:9464" }, http.StatusMisdirectedRequest},
		"this machine by its own names": {func(r *http.Request) { r.Host = "localhost:9464" }, http.StatusConflict},
	} {
		if code := ask(c.change); code != c.want {
			t.Errorf("%s: %d, expected %d", what, code, c.want)
		}
	}
}
