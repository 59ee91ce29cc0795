package update

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"aead.dev/minisign"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// medium is a machine's slots, which go on over its restarts.
type medium struct {
	mu      sync.Mutex
	running Slot
	others  []Slot
	failing error // nothing can be written
	staged  int   // times
}

func (m *medium) Target() bundle.Target { return bundle.PC }
func (m *medium) TrialArgument() string { return "trial" }

func (m *medium) Running() Slot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

func (m *medium) Others() ([]Slot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.others), nil
}

func (m *medium) Stage(b *bundle.Reader) (Slot, error) {
	for {
		if _, _, err := b.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Slot{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.staged++
	if m.failing != nil {
		return Slot{}, m.failing
	}
	s := Slot{Number: m.running.Number + 1, Version: b.Manifest.Version, Epoch: b.Manifest.Epoch, Content: b.Content.String(), Trial: true, Left: 3}
	m.others = []Slot{s}
	return s, nil
}

func (m *medium) Confirm() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running.Trial = false
	return nil
}

func (m *medium) Drop(number int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.others = slices.DeleteFunc(m.others, func(s Slot) bool { return s.Number == number })
	return nil
}

// restart starts the other slot.
func (m *medium) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.others = m.others[0], []Slot{m.running}
}

// gateway is one whose health a test decides.
type gateway struct {
	mu     sync.Mutex
	health Health
	told   []telemetry.Event
}

func (g *gateway) Health() Health {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.health
}

func (g *gateway) Tell(e telemetry.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, e)
	return nil
}

func (g *gateway) Now() time.Time { return time.Now() }

func (g *gateway) is(h Health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.health = h
}

func (g *gateway) events() []telemetry.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.told)
}

var well = Health{Writable: true, Acknowledged: true, Devices: []string{"meter"}, Answering: []string{"meter"}}

// bench is a machine, and who signs its bundles.
type bench struct {
	t        *testing.T
	slots    *medium
	dir      string
	public   minisign.PublicKey
	key      minisign.PrivateKey
	reboots  chan string
	onReboot func()
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, slots: &medium{running: Slot{Number: 1, Version: "1.0", Epoch: 4}}, dir: t.TempDir(), reboots: make(chan string, 10)}
	var err error
	if b.public, b.key, err = minisign.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return b
}

// start is the program after a start of the machine.
func (b *bench) start() *Updater {
	b.t.Helper()
	u, err := Open(Options{
		Slots: b.slots, Keys: bundle.Keys{b.public}, Dir: b.dir, Reboot: func(argument string) {
			b.reboots <- argument
			if b.onReboot != nil {
				b.onReboot()
			}
		},
		Limit: func(time.Duration) {}, Free: func() (int64, error) { return 1 << 30, nil }, Log: slog.New(slog.NewTextHandler(b.t.Output(), nil)), hold: time.Millisecond,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bench) bundle(m bundle.Manifest) []byte {
	b.t.Helper()
	var text bytes.Buffer
	m.Files = []bundle.File{{Name: "vmlinuz"}}
	if _, err := bundle.Write(&text, m, fstest.MapFS{"vmlinuz": {Data: bytes.Repeat([]byte("kernel "+m.Version), 300)}}, b.key); err != nil {
		b.t.Fatal(err)
	}
	return text.Bytes()
}

var two = bundle.Manifest{Version: "2.0", Epoch: 5, Target: bundle.PC}

// put brings a bundle to the machine and installs it.
func put(u *Updater, text []byte) error {
	d := bundle.Digest(sha256.Sum256(text))
	if err := u.Append(d, u.Have(d), int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	return u.Install(d, int64(len(text)), well)
}

func (b *bench) run(u *Updater, g Gateway, p Policy) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { u.Run(ctx, g, p) })
	running.Go(func() { u.Guard(ctx) })
	b.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func TestWhatIsNotToBeInstalledIsRefusedWithTheReason(t *testing.T) {
	b, other := newBench(t), newBench(t)
	good := b.bundle(two)
	swapped := bytes.Clone(good)
	swapped[bytes.Index(swapped, []byte("kernel"))+1]++
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"signed by somebody else": {other.bundle(two), "no key that is trusted has signed it"},
		"of an old epoch":         {b.bundle(bundle.Manifest{Version: "0.9", Epoch: 3, Target: bundle.PC}), "has had 4: going back isn't allowed"},
		"for another target":      {b.bundle(bundle.Manifest{Version: "2.0", Epoch: 5, Target: bundle.Pi}), "is for target pi, and this is pc"},
		"with a swapped byte":     {swapped, "vmlinuz isn't what was signed"},
		"cut":                     {good[:len(good)/2], "ends"},
		"no bundle":               {bytes.Repeat([]byte("x"), 4096), "manifest.json"},
	} {
		u := b.start()
		if err := put(u, c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if others, _ := b.slots.Others(); len(others) != 0 || len(b.reboots) != 0 {
			t.Errorf("%s: %v, %d restarts", name, others, len(b.reboots))
		}
		if files, _ := os.ReadDir(b.dir); len(files) != 1 {
			t.Errorf("%s: %v is left", name, files)
		}
	}
	u := b.start()
	u.o.Keys = nil
	if err := put(u, good); !errors.Is(err, errNoKeys) {
		t.Errorf("without keys: %v", err)
	}
	if err := put(b.start(), b.bundle(bundle.Manifest{Version: "0.9", Epoch: 3, Target: bundle.PC, AllowDowngrade: true})); err != nil {
		t.Errorf("a way back that is allowed: %v", err)
	}
}

func TestAVersionThatProvesItselfIsConfirmed(t *testing.T) {
	b := newBench(t)
	if err := put(b.start(), b.bundle(two)); err != nil {
		t.Fatal(err)
	}
	if got := <-b.reboots; got != "trial" {
		t.Errorf("the firmware is told %q", got)
	}
	b.slots.restart()
	u, g := b.start(), &gateway{}
	b.run(u, g, Policy{Within: time.Hour})
	for _, c := range []struct {
		health Health
		lacks  string
	}{
		{Health{Acknowledged: true, Answering: well.Answering, Devices: well.Devices}, "the buffer can't be written"},
		{Health{Writable: true, Answering: well.Answering, Devices: well.Devices}, "the log has acknowledged nothing"},
		{Health{Writable: true, Acknowledged: true, Devices: well.Devices}, "device meter answered before and doesn't"},
	} {
		g.is(c.health)
		await.True(t, c.lacks, func() bool { return u.Status().Lacks == c.lacks })
	}
	if !u.OnTrial() || !b.slots.Running().Trial {
		t.Fatal("it is confirmed already")
	}
	if err := put(u, b.bundle(bundle.Manifest{Version: "3.0", Epoch: 5, Target: bundle.PC})); !errors.Is(err, errOnTrial) {
		t.Errorf("another one meanwhile: %v", err)
	}
	g.is(well)
	await.True(t, "it is confirmed and told", func() bool { return len(g.events()) == 1 && u.Status().Last.Told })
	e := g.events()[0]
	if e.Kind != telemetry.UpdateConfirmed || *e.Update != (telemetry.Update{Version: "2.0", From: "1.0", Epoch: 5}) || b.slots.Running().Trial {
		t.Errorf("%+v, %+v", e, e.Update)
	}

	again := &gateway{health: well}
	u = b.start()
	if s := u.Status(); s.Epoch != 5 || !s.Last.Confirmed || u.OnTrial() {
		t.Errorf("%+v", s)
	}
	u.tell(t.Context(), again)
	if len(again.events()) != 0 {
		t.Error("it is told twice")
	}
}

// A device that is gone from the configuration has nothing to prove, and nor has the log of
// a site that may be offline.
func TestWhatNobodyExpects(t *testing.T) {
	a := attempt{Devices: []string{"gone", "meter"}}
	if got := a.lacks(Health{Writable: true, Devices: well.Devices, Answering: well.Answering}, true); len(got) != 0 {
		t.Error(got)
	}
	for range 20 {
		a.Devices = append(a.Devices, "meter")
	}
	if got := a.lacks(Health{Devices: well.Devices}, false); len(got) != mostLacking+1 || got[mostLacking] != "and more" {
		t.Error(got)
	}
}

func TestAVersionThatDoesntProveItselfIsLeft(t *testing.T) {
	b := newBench(t)
	if err := put(b.start(), b.bundle(two)); err != nil {
		t.Fatal(err)
	}
	<-b.reboots
	b.slots.restart()
	u := b.start()
	b.run(u, &gateway{health: Health{Writable: true}}, Policy{Within: 10 * time.Millisecond})
	if got := <-b.reboots; got != "" {
		t.Errorf("the firmware is told %q", got)
	}
	b.slots.restart() // by the loader, when no start is left
	b.slots.others[0].Left = 0
	u = b.start()
	g := &gateway{health: well}
	u.tell(t.Context(), g)
	want := telemetry.Update{Version: "2.0", From: "1.0", Epoch: 5, Cause: "the log has acknowledged nothing"}
	if e := g.events(); len(e) != 1 || e[0].Kind != telemetry.UpdateRolledBack || *e[0].Update != want {
		t.Errorf("%+v", e)
	}
	if u.Status().Epoch != 4 {
		t.Errorf("%+v", u.Status())
	}
	if others, _ := b.slots.Others(); len(others) != 0 {
		t.Errorf("%v is left", others)
	}
}

// A version isn't left because the one before was cut off, and there is much to look through.
func TestLookingThroughABufferIsNoTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.slots.running.Trial = true
		u := b.start()
		var guarding sync.WaitGroup
		guarding.Go(func() { u.Guard(t.Context()) })
		for range 30 {
			u.Opening()
			time.Sleep(Within / 20)
		}
		if len(b.reboots) != 0 {
			t.Fatal("it was left")
		}
		guarding.Wait()
		if len(b.reboots) != 1 {
			t.Errorf("%d restarts", len(b.reboots))
		}
	})
}

// A gateway that is tried again and again, and looks through its buffer each time, puts off
// the end of the trial only the first time.
func TestAVersionThatOpensItsBufferAndFailsIsLeft(t *testing.T) {
	for name, fail := range map[string]func(context.Context, *Updater){
		"before it runs": func(_ context.Context, u *Updater) { u.Lacks("the gateway doesn't run: no") },
		"while it runs": func(ctx context.Context, u *Updater) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			u.Run(ctx, &gateway{}, Policy{Within: Within})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.slots.running.Trial = true
			u := b.start()
			var limits int
			u.o.Limit = func(time.Duration) { limits++ }
			u.Opening()
			fail(t.Context(), u)
			began, limited := u.started, limits
			var guarding sync.WaitGroup
			guarding.Go(func() { u.Guard(t.Context()) })
			for range 30 {
				time.Sleep(Within / 20)
				u.Opening()
				u.Lacks("the gateway doesn't run: no")
			}
			if len(b.reboots) != 1 || !u.started.Equal(began) || limits != limited {
				t.Errorf("%s: %d restarts, put off by %v, the watchdog's limit %d times more", name, len(b.reboots), u.started.Sub(began), limits-limited)
			}
			guarding.Wait()
		})
	}
}

// A gateway that doesn't come up isn't on trial for ever.
func TestAVersionWithWhichNoGatewayRunsIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.slots.running.Trial = true
		u := b.start()
		u.Lacks("the gateway doesn't run: no")
		u.Guard(t.Context())
		if len(b.reboots) != 1 || u.journal.Attempt.Cause != "the gateway doesn't run: no" {
			t.Errorf("%d restarts, %+v", len(b.reboots), u.journal.Attempt)
		}
	})
}

func TestWhatAStartMakesOfAnAttempt(t *testing.T) {
	one, now := Slot{Number: 1, Version: "1.0", Content: "one"}, time.Now()
	trial := Slot{Number: 2, Version: "2.0", Content: "two", Trial: true, Left: 2}
	spent, kept, other := trial, trial, trial
	spent.Left, kept.Trial = 0, false
	other.Content, other.Trial = "another", false
	same, unsaid := one, kept
	same.Version, same.Content, unsaid.Content = "2.0", "two", ""
	for name, c := range map[string]struct {
		attempt *attempt
		running Slot
		others  []Slot
		trial   bool
		goes    bool // the attempt goes on
		last    string
	}{
		"nothing":                          {nil, one, nil, false, false, ""},
		"on trial":                         {&attempt{Slot: 2, Version: "2.0", Content: "two"}, trial, []Slot{one}, true, true, ""},
		"on trial, and cut before noted":   {&attempt{Version: "2.0", Content: "two"}, trial, []Slot{one}, true, true, ""},
		"on trial, and the data is lost":   {nil, trial, []Slot{one}, true, true, ""},
		"confirmed, and cut before noted":  {&attempt{Slot: 2, Version: "2.0", Content: "two"}, kept, []Slot{one}, false, false, "confirmed"},
		"confirmed, by an older program":   {&attempt{Slot: 2, Version: "2.0"}, unsaid, []Slot{one}, false, false, "confirmed"},
		"confirmed, and not noted at all":  {&attempt{Version: "2.0", Content: "two"}, kept, []Slot{one}, false, false, "confirmed"},
		"the name runs, written anew":      {&attempt{Version: "2.0", Content: "two"}, other, []Slot{one}, false, false, ""},
		"the very same runs, written anew": {&attempt{Version: "2.0", Content: "two", FromSlot: 1}, same, nil, false, false, ""},
		"the name is in its slot":          {&attempt{Slot: 2, Version: "2.0", Content: "two"}, other, []Slot{one}, false, false, "its slot is gone"},
		"the other slot has been the same": {&attempt{Version: "2.0", Content: "two", FromSlot: 1}, one, []Slot{kept}, false, false, ""},
		"didn't come up":                   {&attempt{Slot: 2, Version: "2.0", Content: "two"}, one, []Slot{spent}, false, false, "it didn't come up, or not far enough to say why"},
		"didn't come up, nor was it noted": {&attempt{Version: "2.0", Content: "two"}, one, []Slot{spent}, false, false, "it didn't come up, or not far enough to say why"},
		"gave itself up":                   {&attempt{Slot: 2, Version: "2.0", Content: "two", Cause: "why"}, one, []Slot{spent}, false, false, "why"},
		"will be started":                  {&attempt{Slot: 2, Version: "2.0", Content: "two"}, one, []Slot{trial}, false, true, ""},
		"wasn't written whole":             {&attempt{Version: "2.0"}, one, nil, false, false, ""},
		"was removed":                      {&attempt{Slot: 2, Version: "2.0"}, one, nil, false, false, "its slot is gone"},
	} {
		j := journal{Attempt: c.attempt}
		got := j.settle(c.running, c.others, now)
		last := ""
		if j.Last != nil {
			if last = j.Last.Cause; j.Last.Confirmed {
				last = "confirmed"
			}
		}
		if got != c.trial || (j.Attempt != nil) != c.goes || last != c.last {
			t.Errorf("%s: on trial %v, %+v, %q", name, got, j.Attempt, last)
		}
		if j.Attempt != nil && j.Attempt.Slot != 2 {
			t.Errorf("%s: slot %d", name, j.Attempt.Slot)
		}
	}
}

// site serves a channel and a bundle.
type site struct {
	*httptest.Server
	mu        sync.Mutex
	files     map[string][]byte
	cut       int // bytes of the bundle that are sent, and no more; 0: all
	withheld  string
	asked     []string // Range headers
	busy      string   // Retry-After of who has no place for a bundle
	forgetful bool     // it doesn't know of ranges
}

func newSite(t *testing.T) *site {
	s := &site{files: map[string][]byte{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, known := s.files[r.URL.Path]
	switch {
	case s.withheld != "":
		http.Error(w, s.withheld, http.StatusConflict)
		return
	case !known:
		http.NotFound(w, r)
		return
	case strings.HasSuffix(r.URL.Path, ".bundle"):
		s.asked = append(s.asked, r.Header.Get("Range"))
		if s.busy != "" {
			w.Header().Set("Retry-After", s.busy)
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		if s.cut > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			w.Write(text[:s.cut])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if s.forgetful {
			r.Header.Del("Range")
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// offer has the site offer a bundle.
func (s *site) offer(b *bench, text []byte, change func(*bundle.Channel)) bundle.Published {
	b.t.Helper()
	p := bundle.Published{URL: "2.bundle", Size: int64(len(text)), SHA256: sha256.Sum256(text)}
	c := bundle.Channel{Issued: time.Now().Truncate(time.Second), NotAfter: time.Now().Add(time.Hour), Version: "2.0", Epoch: 5, Percent: 100, Bundles: map[bundle.Target]bundle.Published{bundle.PC: p}}
	if change != nil {
		change(&c)
	}
	channel, signature, err := c.Sign(b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = map[string][]byte{"/c/stable.json": channel, "/c/stable.json.minisig": signature, "/c/2.bundle": text}
	return p
}

func (s *site) policy() Policy {
	return Policy{Gateway: "north-gw1", Zone: "north", Within: time.Hour, Source: &Source{Channel: s.URL + "/c/stable.json", Client: s.Client(), Every: time.Millisecond}}
}

func TestAFetchGoesOnWhereverItWasCut(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	p := s.offer(b, text, nil)
	for cut := 1; cut < len(text); cut += 499 {
		for _, forgetful := range []bool{false, true} {
			b.dir = t.TempDir()
			s.cut, s.forgetful, s.asked = cut, forgetful, nil
			if err := b.start().fetch(t.Context(), s.Client(), s.URL+"/c/2.bundle", p); err == nil {
				t.Fatal("what was cut is whole")
			}
			s.cut = 0
			u := b.start() // the machine's power was cut too
			if have := u.Have(p.SHA256); have != int64(cut) {
				t.Fatalf("%d bytes of %d are kept", have, cut)
			}
			if err := u.fetch(t.Context(), s.Client(), s.URL+"/c/2.bundle", p); err != nil {
				t.Fatal(err)
			}
			if whole, err := u.whole(p.SHA256, p.Size); !whole || err != nil {
				t.Fatalf("cut at byte %d: %v, %v", cut, whole, err)
			}
			if want := []string{"", fmt.Sprintf("bytes=%d-", cut)}; !slices.Equal(s.asked, want) {
				t.Fatalf("asked for %q", s.asked)
			}
		}
	}
}

// What may pass is tried again after a while, and goes on where it was; what a signature or
// a bundle's content decides isn't.
func TestWhatMayPassIsTriedAgain(t *testing.T) {
	b, s := newBench(t), newSite(t)
	p := s.offer(b, b.bundle(two), nil)
	g := &clocked{gateway{health: well}, time.Now().Add(24 * time.Hour)}
	s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.NotAfter = g.now.Add(90 * 24 * time.Hour) })
	u := b.start()
	b.slots.failing = errors.New("it needs 40 MB of the boot partition, where 3 MB are free")
	for n, wait := range []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute} {
		s.asked = nil
		_, err := u.check(t.Context(), g, s.policy())
		if again, is := errors.AsType[passing](err); !is || !errors.Is(err, b.slots.failing) || again.again != wait {
			t.Fatalf("fault %d: %v, again after %v", n+1, err, again.again)
		}
		if r := u.Status().Refused; r == nil || r.Final || r.Version != "2.0" || !strings.Contains(r.Reason, "3 MB are free") || !r.Again.Equal(g.now.Add(wait)) {
			t.Errorf("%+v", r)
		}
		if u.Have(p.SHA256) != p.Size || n > 0 && len(s.asked) > 0 {
			t.Errorf("what was fetched is lost: %d bytes are here, asked for %q", u.Have(p.SHA256), s.asked)
		}
		g.now = g.now.Add(wait - time.Second)
		if _, err := u.check(t.Context(), g, s.policy()); !errors.Is(err, b.slots.failing) {
			t.Error(err)
		}
		if b.slots.staged != n+1 {
			t.Errorf("it was written %d times before its time", b.slots.staged)
		}
		g.now = g.now.Add(time.Second)
	}
	b.slots.failing = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.onReboot = cancel
	if _, err := u.check(ctx, g, s.policy()); err != nil || u.Status().Refused != nil {
		t.Errorf("%v, %+v", err, u.Status().Refused)
	}

	b = newBench(t)
	s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.NotAfter = g.now.Add(90 * 24 * time.Hour) })
	u = b.start()
	b.slots.failing = Unfit{errors.New("it lacks initrd")}
	for range 3 {
		if _, err := u.check(t.Context(), g, s.policy()); !IsUnfit(err) {
			t.Error(err)
		}
		if r := u.Status().Refused; r == nil || !r.Final || r.Reason != "write version 2.0 into a slot: it lacks initrd" {
			t.Errorf("%+v", r)
		}
		g.now = g.now.Add(24 * time.Hour)
	}
	if b.slots.staged != 1 {
		t.Errorf("what is refused for good was written %d times", b.slots.staged)
	}
	b.slots.failing = nil
	s.offer(b, b.bundle(two), func(c *bundle.Channel) {
		c.Issued, c.NotAfter = c.Issued.Add(time.Second), g.now.Add(24*time.Hour)
	})
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	b.onReboot = cancel
	if _, err := u.check(ctx, g, s.policy()); err != nil || b.slots.staged != 2 {
		t.Errorf("signed anew: %v, written %d times", err, b.slots.staged)
	}
}

// Who is sent away for a while comes when it is told to, however often; who is cut off and
// gets nothing, later each time.
func TestWhoIsSentAwayComesWhenItIsTold(t *testing.T) {
	b, s := newBench(t), newSite(t)
	s.offer(b, b.bundle(two), nil)
	u := b.start()
	check := func() error {
		_, err := u.check(t.Context(), &gateway{health: well}, s.policy())
		return err
	}
	for _, c := range []struct {
		says string
		rest time.Duration
	}{
		{"90", 90 * time.Second}, {"90", 90 * time.Second}, {"90", 90 * time.Second}, {"1", soon}, {"-1", soon}, {"soon", soon}, {"9000000000000000", longestRest},
		{"1000000", longestRest}, {time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), 2 * time.Hour},
	} {
		s.busy = c.says
		if got, is := errors.AsType[busy](check()); !is || (got.rest-c.rest).Abs() > time.Minute/2 || !strings.Contains(got.Error(), "fetch version 2.0: ") {
			t.Errorf("%s: %v, again after %v", c.says, got.error, got.rest)
		}
	}
	s.busy, s.files["/c/2.bundle"] = "", nil
	for _, want := range []time.Duration{2 * time.Minute, 4 * time.Minute} {
		if got, is := errors.AsType[passing](check()); !is || got.again != want {
			t.Errorf("cut: %v, again after %v", got.error, got.again)
		}
	}
}

// What was refused before doesn't hide what is wrong with the channel since, and is itself
// said once.
func TestARefusalHidesNoProblem(t *testing.T) {
	b, s := newBench(t), newSite(t)
	s.offer(b, b.bundle(two), nil)
	u := b.start()
	b.slots.failing = Unfit{errors.New("it lacks initrd")}
	look := func() []string {
		_, err := u.check(t.Context(), &gateway{health: well}, s.policy())
		u.note(err)
		return u.Status().Problems()
	}
	const refusal = "version 2.0 isn't installed, for good: write version 2.0 into a slot: it lacks initrd"
	if got := look(); !slices.Equal(got, []string{refusal}) {
		t.Errorf("refused: %q", got)
	}
	s.files = nil
	if got := look(); len(got) != 2 || got[0] != refusal || !strings.HasSuffix(got[1], "/c/stable.json answers 404 Not Found") {
		t.Errorf("and its channel is gone: %q", got)
	}
	s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.Percent = 0 })
	if got := look(); len(got) != 0 {
		t.Errorf("another channel: %q", got)
	}
}

// clocked is a gateway whose clock a test sets.
type clocked struct {
	gateway
	now time.Time
}

func (c *clocked) Now() time.Time { return c.now }

// A version that ran, and lacked what may be there another time, is tried twice more.
func TestAVersionThatRanIsTriedAgain(t *testing.T) {
	t.Parallel()
	b, s := newBench(t), newSite(t)
	offer := func(now time.Time) {
		s.offer(b, b.bundle(two), func(c *bundle.Channel) { c.NotAfter = now.Add(time.Hour) })
	}
	g := &clocked{gateway{health: well}, time.Now()}
	for n, wait := range []time.Duration{0, 24 * time.Hour, 48 * time.Hour} {
		u := b.start()
		offer(g.now)
		if wait > 0 {
			for _, later := range []time.Duration{0, wait - time.Minute} {
				g.now = g.now.Add(later)
				offer(g.now)
				if _, err := u.check(t.Context(), g, s.policy()); err != nil {
					t.Fatal(err)
				}
				if r := u.Status().Refused; r == nil || r.Final || r.Again.Before(g.now) {
					t.Fatalf("%+v", r)
				}
			}
			g.now = g.now.Add(time.Minute)
			offer(g.now)
		}
		ctx, cancel := context.WithCancel(t.Context())
		b.onReboot = cancel
		if _, err := u.check(ctx, g, s.policy()); err != nil || b.slots.staged != n+1 {
			t.Fatalf("time %d: %v, written %d times", n+1, err, b.slots.staged)
		}
		cancel()
		b.onReboot = nil
		b.slots.restart()
		u = b.start()
		ctx, cancel = context.WithCancel(t.Context())
		var proving sync.WaitGroup
		proving.Go(func() {
			u.prove(ctx, &gateway{health: Health{Writable: true, Acknowledged: true, Devices: well.Devices}}, Policy{})
		})
		await.True(t, "it lacks the meter", func() bool { return strings.HasPrefix(u.Status().Lacks, "device meter") })
		cancel()
		proving.Wait()
		u.within = 0
		u.Guard(t.Context())
		b.slots.restart()
		b.slots.others[0].Left = 0
	}
	u := b.start()
	for range 3 {
		g.now = g.now.Add(30 * 24 * time.Hour)
		offer(g.now)
		if _, err := u.check(t.Context(), g, s.policy()); err != nil {
			t.Fatal(err)
		}
	}
	if r := u.Status().Refused; r == nil || !r.Final || b.slots.staged != 3 {
		t.Errorf("%+v, written %d times", r, b.slots.staged)
	}
}

func TestABundleThatIsAnotherOneBeginsAnew(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	p := s.offer(b, text, nil)
	other := bytes.Clone(text)
	other[len(other)/2]++
	s.files["/c/2.bundle"] = other
	u := b.start()
	if _, err := u.check(t.Context(), &gateway{health: well}, s.policy()); err == nil || !strings.Contains(err.Error(), "begins anew") {
		t.Error(err)
	}
	if u.Have(p.SHA256) != 0 {
		t.Error("it is kept")
	}
	asked := len(s.asked)
	if _, err := u.check(t.Context(), &gateway{health: well}, s.policy()); err == nil || len(s.asked) != asked {
		t.Errorf("it is fetched again though the channel is the same: %v", err)
	}
}

func TestWhoFollowsAChannel(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	hour := time.Now().UTC().Hour()
	for name, c := range map[string]struct {
		change  func(*bundle.Channel)
		waiting bool
		err     string
		fetched bool
	}{
		"for nobody yet":   {change: func(c *bundle.Channel) { c.Percent = 0 }},
		"for another zone": {change: func(c *bundle.Channel) { c.Percent, c.Zones = 0, map[string]bundle.Stage{"south": {Percent: 100}} }},
		"not for its zone": {change: func(c *bundle.Channel) { c.Zones = map[string]bundle.Stage{"north": {}} }},
		"for its zone, at another time": {change: func(c *bundle.Channel) {
			c.Percent, c.Zones = 0, map[string]bundle.Stage{"north": {Percent: 100, Window: bundle.Window(fmt.Sprintf("%02d:00-%02d:00", (hour+2)%24, (hour+3)%24))}}
		}, waiting: true, fetched: true},
		"the version that is": {change: func(c *bundle.Channel) { c.Version = "1.0" }},
		"for other targets":   {change: func(c *bundle.Channel) { c.Bundles = nil }},
		"out of date": {change: func(c *bundle.Channel) {
			c.Issued, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}, err: "out of date"},
		"an old epoch": {change: func(c *bundle.Channel) { c.Epoch = 3 }, err: "going back isn't allowed"},
		"at another time": {change: func(c *bundle.Channel) {
			c.Window = bundle.Window(fmt.Sprintf("%02d:00-%02d:00", (hour+2)%24, (hour+3)%24))
		}, waiting: true, fetched: true},
	} {
		b.dir, s.asked = t.TempDir(), nil
		s.offer(b, text, c.change)
		waiting, err := b.start().check(t.Context(), &gateway{health: well}, s.policy())
		if waiting != c.waiting || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || (len(s.asked) > 0) != c.fetched {
			t.Errorf("%s: waiting %v, %v, asked %q", name, waiting, err, s.asked)
		}
		if len(b.reboots) > 0 {
			t.Fatalf("%s: it is installed", name)
		}
	}

	u := b.start()
	s.offer(b, text, func(c *bundle.Channel) { c.Percent = 0 })
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err != nil {
		t.Fatal(err)
	}
	s.offer(b, text, func(c *bundle.Channel) { c.Issued = c.Issued.Add(-time.Minute) })
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err == nil || !strings.Contains(err.Error(), "a later one") {
		t.Errorf("an older channel: %v", err)
	}
	s.offer(newBench(t), text, nil)
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err == nil || !strings.Contains(err.Error(), "no key that is trusted") {
		t.Errorf("somebody else's channel: %v", err)
	}
	s.withheld = "paused: 3 of 20 gateways rolled back"
	if _, err := u.check(t.Context(), &gateway{}, s.policy()); err != nil {
		t.Errorf("a channel that is withheld: %v", err)
	}
}

// Who follows a channel keeps what is brought to it meanwhile, and nothing of what it runs.
func TestAChannelLeavesWhatIsBrought(t *testing.T) {
	b, s := newBench(t), newSite(t)
	text := b.bundle(two)
	runs := s.offer(b, text, func(c *bundle.Channel) { c.Version = "1.0" })
	u := b.start()
	brought := bundle.Digest(sha256.Sum256([]byte("another")))
	for _, d := range []bundle.Digest{runs.SHA256, brought} {
		if err := os.WriteFile(u.path(d), text[:700], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.check(t.Context(), &gateway{health: well}, s.policy()); err != nil {
		t.Fatal(err)
	}
	if u.Have(brought) != 700 || u.Have(runs.SHA256) != 0 {
		t.Errorf("of what is brought there are %d bytes, of what runs %d", u.Have(brought), u.Have(runs.SHA256))
	}
}

// What was rolled back isn't installed again, though the channel goes on offering it.
func TestAChannelIsFollowedOnce(t *testing.T) {
	b, s := newBench(t), newSite(t)
	s.offer(b, b.bundle(two), nil)
	b.run(b.start(), &gateway{health: well}, s.policy())
	<-b.reboots
	b.slots.mu.Lock()
	b.slots.others[0].Left = 0
	b.slots.mu.Unlock()
	u, g := b.start(), &gateway{health: well}
	u.tell(t.Context(), g)
	s.asked = nil
	if _, err := u.check(t.Context(), g, s.policy()); err != nil || len(s.asked) > 0 || len(b.reboots) > 0 {
		t.Errorf("%v, asked %q", err, s.asked)
	}
}
