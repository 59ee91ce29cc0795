package image

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/peer"
)

// hostInside is this machine's loopback as the virtual one sees it.
const hostInside = "10.0.2.2"

// releases makes versions, and serves them by HTTPS as any web server would.
type releases struct {
	c        *card
	dir      string // that is served
	key      string
	ca, port string
	// half has it send the first half of a bundle, and no more.
	half   atomic.Bool
	sent   atomic.Bool  // it has
	ranges atomic.Int64 // of the bytes that bundles were asked for again, where the last began
}

func newReleases(t *testing.T) *releases {
	r := &releases{dir: t.TempDir()}
	authority, err := kafka.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Client("updates", pkix.Name{CommonName: "updates"}, hostInside)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(authority.Cert())
	if err != nil {
		t.Fatal(err)
	}
	r.ca = filepath.Join(t.TempDir(), "updates.crt")
	if err := os.WriteFile(r.ca, text, 0o644); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, r.port, _ = net.SplitHostPort(server.Listener.Addr().String())
	r.key = filepath.Join(t.TempDir(), "release.key")
	return r
}

func (r *releases) serve(w http.ResponseWriter, q *http.Request) {
	if strings.HasSuffix(q.URL.Path, ".bundle") {
		var from int64
		fmt.Sscanf(q.Header.Get("Range"), "bytes=%d-", &from)
		r.ranges.Store(from)
		if r.half.Load() {
			text, err := os.ReadFile(filepath.Join(r.dir, q.URL.Path))
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			w.Write(text[:len(text)/2])
			http.NewResponseController(w).Flush()
			r.sent.Store(true)
			<-q.Context().Done()
			return
		}
	}
	http.ServeFileFS(w, q, os.DirFS(r.dir), q.URL.Path)
}

// bundle makes a version of an init.
func (r *releases) bundle(version, init string) (path string) {
	c := r.c
	c.t.Helper()
	busbar, trust := filepath.Join(peer.Root(), "bin", "busbar"), r.key+".pub"
	files := filepath.Join(c.dir, "files-"+version)
	c.run(busbar, "image", "files", "--target", c.board.target, "--parts", filepath.Join(peer.Root(), ".peers", "image", c.board.target), "--program", init, "--trust", trust, files)
	path = filepath.Join(r.dir, "busbar-"+version+".bundle")
	c.run(busbar, "bundle", "create", "--release", version, "--epoch", "2", "--target", c.board.target, "--key", r.key, "-o", path, files)
	return path
}

// offer has the channel offer a bundle.
func (r *releases) offer(path string) {
	c := r.c
	c.t.Helper()
	busbar, trust := filepath.Join(peer.Root(), "bin", "busbar"), r.key+".pub"
	c.run(busbar, "bundle", "channel", "--trust", trust, "--key", r.key, "-o", filepath.Join(r.dir, "stable.json"), path)
}

// outcomes are the events about updates that have come to the log.
type outcomes struct {
	client *kgo.Client
	came   []telemetry.Event
}

func (o *outcomes) await(t *testing.T, kind telemetry.EventKind, version string) telemetry.Update {
	t.Helper()
	var found telemetry.Update
	await.Within(t, starting, fmt.Sprintf("%s of version %s comes to the log", kind, version), func() bool {
		fetches := o.client.PollRecords(t.Context(), 1)
		fetches.EachRecord(func(r *kgo.Record) {
			var headers []record.Header
			for _, h := range r.Headers {
				headers = append(headers, record.Header(h))
			}
			rec, err := record.ParseHeaders(headers, r.Value)
			if err != nil {
				t.Fatal(err)
			}
			var e telemetry.Event
			if err := json.Unmarshal(rec.Payload, &e); err != nil {
				t.Fatal(err)
			}
			if e.Update != nil {
				o.came = append(o.came, e)
			}
		})
		for _, e := range o.came {
			if e.Kind == kind && e.Update.Version == version {
				found = *e.Update
				return true
			}
		}
		return false
	})
	return found
}

// A flashed PC fetches a version although its power is cut in the middle of that, and again
// in the middle of its being written, proves itself with it and keeps it. A version that is
// brought to it and hangs is ended by the watchdog as often as it has starts, and then left for the one before.
// Another medium that was flashed with the same image is put in meanwhile, and stays as it is.
// It takes longest, and begins first.
func TestAFlashedPCIsUpdatedAndLeavesWhatHangs(t *testing.T) {
	t.Parallel()
	meter := peer.Address(t)
	peer.Run(t, filepath.Join(peer.Root(), "bin", "busbar-sim"), "modbus", "eastron/sdm630", "--listen", meter)
	_, meterPort, _ := net.SplitHostPort(meter)
	cluster := kafka.StartAt(t, outside(t), 1)
	if err := cluster.CreateTopics(t.Context(), "busbar"); err != nil {
		t.Fatal(err)
	}
	gateway, err := cluster.Gateway(t.Context(), "busbar", "north-gw1")
	if err != nil {
		t.Fatal(err)
	}
	link := gateway.MTLS()
	releases := newReleases(t)
	build := []string{"--release", "1", "--epoch", "1", "--trust", releases.key + ".pub", "--beside", releases.ca}
	for _, file := range []*configfile.Path{&link.TLS.CA, &link.TLS.Cert, &link.TLS.Key} {
		build = append(build, "--beside", string(*file))
		*file = configfile.Path(filepath.Base(string(*file)))
	}
	if out, err := exec.Command(filepath.Join(peer.Root(), "bin", "busbar"), "bundle", "key", releases.key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := flash(t, pc, fmt.Sprintf(`
gateway: {id: north-gw1}
forward:
  kafka:
%s
buffer: {path: /var/lib/busbar, max_size: 128MiB}
status: {listen: "0.0.0.0:9464"}
update: {channel: "https://%s:%s/stable.json", ca: updates.crt, every: 2s}
devices: [{id: meter, profile: eastron/sdm630, modbus: {endpoint: "tcp://%s:%s", unit: 1}}]
`, kafka.YAML(link, "    "), hostInside, releases.port, hostInside, meterPort), "", build...)
	releases.c = c
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...), kgo.ConsumeTopics(record.TopicsOf("busbar").Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	o := outcomes{client: client}

	began := time.Now()
	step := func(what string) { t.Logf("%5.1f s: %s", time.Since(began).Seconds(), what) }
	releases.half.Store(true)
	releases.offer(releases.bundle("2", filepath.Join(c.dir, "busbar-gateway")))
	beside := filepath.Join(c.dir, "beside.img")
	c.run("cp", "--sparse=always", c.path, beside)
	flashed := c.run("sha256sum", "-b", beside)
	c.boot()
	c.awaitConsole("a bundle is fetched")
	await.True(t, "half of the bundle is sent", releases.sent.Load)
	c.cut()
	step("the power is cut while version 2 is fetched")
	releases.half.Store(false)
	c.beside = beside // as it was flashed, with the same image
	c.boot()
	c.awaitConsole("another flashed medium is in this machine, and is left alone")
	c.awaitConsole("a version is being written into a slot")
	if releases.ranges.Load() == 0 {
		t.Error("the bundle is fetched from its beginning again")
	}
	await.True(t, "the boot partition is being written", func() bool { return c.unfinished() })
	c.cut()
	step("the power is cut while version 2 is written")
	c.boot()
	c.awaitConsole("the boot partition wasn't left in order, and was put in order")
	c.awaitConsole("this version is on trial")
	step("version 2 is on trial")
	if u := o.await(t, telemetry.UpdateConfirmed, "2"); u.From != "1" || u.Epoch != 2 {
		t.Errorf("%+v", u)
	}
	step("version 2 is confirmed")

	hang := filepath.Join(c.dir, "hang")
	compile := exec.Command("go", "build", "-ldflags", "-s -w", "-o", hang, "./test/image/hang")
	compile.Dir, compile.Env = peer.Root(), append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+c.board.arch)
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	certificate := c.said(certificateSaid)
	c.through(c.said(passwordSaid), certificate, "update", "install", releases.bundle("3", hang))
	step("version 3 is brought")
	for n := range 3 {
		c.awaitTimes("this version hangs", n+1)
		step(fmt.Sprintf("version 3 hangs, start %d", n+1))
	}
	if u := o.await(t, telemetry.UpdateRolledBack, "3"); u.From != "2" || !strings.Contains(u.Cause, "didn't come up") {
		t.Errorf("%+v", u)
	}
	step("version 3 is rolled back")
	c.awaitConsole("an update was rolled back")
	c.cut()
	c.check()
	if now := c.run("sha256sum", "-b", beside); now != flashed {
		t.Error("the other medium in the machine was written")
	}
	left := c.sh(`mdir -b -i "$1@@1M" ::loader/entries ::busbar`, c.path)
	if got := strings.Fields(left); !slices.Equal(got, []string{"::/loader/entries/busbar-2.conf", "::/busbar/2/"}) {
		t.Errorf("what is left of slots: %q", got)
	}
	if entry := c.sh(`mtype -i "$1@@1M" ::loader/entries/busbar-2.conf`, c.path); !strings.Contains(entry, "options no_timer_check") {
		t.Errorf("what this machine's kernel is told is lost: %s", entry)
	}
}

// unfinished reports whether the boot partition is marked as being written.
func (c *card) unfinished() bool {
	card, err := os.Open(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer card.Close()
	var state [1]byte
	if _, err := card.ReadAt(state[:], 1<<20+0x41); err != nil {
		c.t.Fatal(err)
	}
	return state[0]&1 != 0
}
