package image

import (
	"crypto/tls"
	"crypto/x509/pkix"
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

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/peer"
)

// hostInside is this machine's loopback as the virtual one sees it, and inside what that has
// itself.
const hostInside, inside = "10.0.2.2", "10.0.2.20"

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

// station is a machine of the board, flashed, that reads a meter on its RS-485 line, with the
// log that it sends to, and who releases versions for it.
func station(t *testing.T, b board) (*card, *arrivals, *releases) {
	t.Helper()
	line := peer.Address(t)
	peer.Run(t, filepath.Join(peer.Root(), "bin", "busbar-sim"), "modbus", "eastron/sdm630", "--listen-rtu", line, "--no-pace")
	cluster := kafka.StartAt(t, outside(t), 1)
	if err := cluster.CreateTopics(t.Context(), "busbar"); err != nil {
		t.Fatal(err)
	}
	gateway, err := cluster.Gateway(t.Context(), "busbar", "north-gw1")
	if err != nil {
		t.Fatal(err)
	}
	link := gateway.MTLS()
	r := newReleases(t)
	if out, err := exec.Command(filepath.Join(peer.Root(), "bin", "busbar"), "bundle", "key", r.key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	build := []string{"--release", "1", "--epoch", "1", "--trust", r.key + ".pub", "--beside", r.ca}
	for _, file := range []*configfile.Path{&link.TLS.CA, &link.TLS.Cert, &link.TLS.Key} {
		build = append(build, "--beside", string(*file))
		*file = configfile.Path(filepath.Base(string(*file)))
	}
	r.c = flash(t, b, fmt.Sprintf(`
gateway: {id: north-gw1}
forward:
  kafka:
%s
buffer: {path: /var/lib/busbar, max_size: 128MiB}
status: {listen: "0.0.0.0:9464"}
network: {address: %s/24, gateway: %s, dns: [10.0.2.3]}
update: {channel: "https://%s:%s/stable.json", ca: updates.crt, every: 2s}
devices: [{id: meter, profile: eastron/sdm630, modbus: {endpoint: "rtu:///dev/ttyUSB0?baud=9600", unit: 1}}]
`, kafka.YAML(link, "    "), inside, hostInside, hostInside, r.port), line, build...)
	r.c.address, r.c.secret = inside, string(link.TLS.Key)
	return r.c, readLog(t, cluster), r
}

// These take longest, and begin first.

func TestAFlashedPCIsUpdatedThroughPowerCuts(t *testing.T) { keep(t, pc) }

func TestAFlashedPCLeavesWhatHangs(t *testing.T) { leave(t, pc) }

func TestVMAFlashedIndustrialPCIsUpdatedThroughPowerCuts(t *testing.T) {
	long(t)
	keep(t, industrial)
}

func TestVMAFlashedIndustrialPCLeavesWhatHangs(t *testing.T) {
	long(t)
	leave(t, industrial)
}

func TestVMAFlashedARM64MachineIsUpdatedThroughPowerCuts(t *testing.T) {
	long(t)
	keep(t, arm64)
}

// There is no watchdog: the version that is left panics.
func TestVMAFlashedARM64MachineLeavesWhatPanics(t *testing.T) {
	long(t)
	leave(t, arm64)
}

// long skips a test that takes minutes, unless it was asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("BUSBAR_VM") == "" {
		t.Skip("make vm")
	}
}

// keep has a machine read a meter on a serial line behind a USB adapter. It fetches a version
// although its power is cut in the middle of that, and again in the middle of its being
// written, proves itself with it and keeps it. What was read and committed meanwhile comes to
// the log, each sample once. Into a PC another medium is put that was flashed with the same
// image, and stays as it is.
func keep(t *testing.T, b board) {
	t.Parallel()
	c, log, releases := station(t, b)
	step := steps(t)
	releases.half.Store(true)
	releases.offer(releases.bundle("2", b.compile(t, "./cmd/busbar-gateway")))
	var flashed string
	besides := b.target == pc.target // what another medium is put in
	beside := filepath.Join(c.dir, "beside.img")
	if besides {
		c.run("cp", "--sparse=always", c.path, beside)
		flashed = c.run("sha256sum", "-b", beside)
	}
	c.boot()
	c.awaitConsole("gateway started")
	step("the gateway runs")
	c.work()
	step("it was worked with over the network")
	c.awaitConsole("a bundle is fetched")
	await.True(t, "half of the bundle is sent", releases.sent.Load)
	log.awaitSamples()
	c.cut()
	step("the power is cut while version 2 is fetched")
	releases.half.Store(false)
	if besides {
		c.beside = beside // as it was flashed, with the same image
	}
	c.boot()
	if besides {
		c.awaitConsole("another flashed medium is in this machine, and is left alone")
	}
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
	if u := log.awaitUpdate(telemetry.UpdateConfirmed, "2"); u.From != "1" || u.Epoch != 2 {
		t.Errorf("%+v", u)
	}
	step("version 2 is confirmed")
	log.awaitAll(2) // the second process was cut before it had committed anything, or not
	c.inOrder(1, 2)
	if besides && c.run("sha256sum", "-b", beside) != flashed {
		t.Error("the other medium in the machine was written")
	}
	step("the card is in order")
}

// leave brings a version to a machine that hangs, which is ended by the watchdog as often as
// it has starts, and then left for the one before.
func leave(t *testing.T, b board) {
	t.Parallel()
	c, log, releases := station(t, b)
	step := steps(t)
	bundle := releases.bundle("2", b.compile(t, "./test/image/hang"))
	c.boot()
	c.awaitConsole("gateway started")
	log.awaitSamples()
	step("the gateway runs")
	certificate := c.said(certificateSaid)
	c.through(c.said(passwordSaid), certificate, "update", "install", bundle)
	step("version 2 is brought")
	for n := range 3 {
		c.awaitTimes("this version hangs", n+1)
		step(fmt.Sprintf("version 2 hangs, start %d", n+1))
	}
	if u := log.awaitUpdate(telemetry.UpdateRolledBack, "2"); u.From != "1" || !strings.Contains(u.Cause, "didn't come up") {
		t.Errorf("%+v", u)
	}
	step("version 2 is rolled back")
	c.awaitConsole("an update was rolled back")
	log.awaitAll(1)
	c.inOrder(1)
	step("the card is in order")
}

// steps logs what has been reached, and when.
func steps(t *testing.T) func(what string) {
	began := time.Now()
	return func(what string) { t.Logf("%5.1f s: %s", time.Since(began).Seconds(), what) }
}

// inOrder waits until the machine has these slots, of which the last runs, and writes nothing
// more into the boot partition, cuts its power, and has a look at the card.
func (c *card) inOrder(slots ...int) {
	c.t.Helper()
	var want []string
	for _, n := range slots {
		want = append(want, fmt.Sprintf("::/busbar/%d/", n), fmt.Sprintf("::/loader/entries/busbar-%d.conf", n))
	}
	slices.Sort(want)
	await.Within(c.t, starting, fmt.Sprintf("there are slots %v", slots), func() bool {
		// While the machine writes, this may see half of something.
		list, err := exec.Command("mdir", "-b", "-i", c.path+"@@1M", "::loader/entries", "::busbar").Output()
		there := strings.Fields(string(list))
		slices.Sort(there)
		return err == nil && slices.Equal(there, want) && !c.unfinished()
	})
	c.cut()
	c.check()
	entry := c.sh(`mtype -i "$1@@1M" "::loader/entries/busbar-$2.conf"`, c.path, fmt.Sprint(slots[len(slots)-1]))
	if !strings.Contains(entry, "options "+c.board.kernel) {
		c.t.Errorf("what this machine's kernel is told is lost: %s", entry)
	}
}

// What a flashed PC has read and committed comes to the log whenever its power is cut, each
// sample once.
func TestVMAFlashedPCReadsAMeterThroughPowerCuts(t *testing.T) {
	long(t)
	t.Parallel()
	const cuts = 20
	c, log, _ := station(t, pc)
	for cut := range cuts {
		began := time.Now()
		c.boot()
		c.awaitConsole("gateway started")
		t.Logf("boot %d: the gateway runs after %v", cut+1, time.Since(began).Round(100*time.Millisecond))
		log.awaitSamples()
		c.cut()
	}
	c.check()
	c.boot()
	log.awaitAll(cuts)
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
